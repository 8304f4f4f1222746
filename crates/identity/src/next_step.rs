//! What a browser must do for an authorization request, and what its client may learn without a page
//! (OpenID Connect Core 3.1.2.3, 3.1.2.6; decision 0064).

use crate::authorization::{AuthorizationRequest, Step, refuse_another_person};
use crate::consent::Shown;
use crate::demands::Verdict;
use crate::session::Session;
use crate::way_back::WayBack;
use crate::{CommitError, Failure, Identity};
use types::{ErrorCode, Refusal};

/// Without a page, whoever may not be told more.
const NOBODY: &str = "nobody is logged in as is asked for";

impl Identity {
    /// What the browser must do, given who is logged in.
    pub async fn next_step(&self, request: &AuthorizationRequest, given: Option<&Session>) -> Result<Step, Failure> {
        let demands = &request.demands;
        let refuse = |code, what: &str| {
            let url = self.error_redirect(&request.redirect_uri, &Refusal::new(code, what), request.state.as_deref());
            Step::Refused(WayBack::of(&request.client, url))
        };
        let taken = request.pushed.as_ref().and_then(|pushed| pushed.taken);
        let session = match demands.judge(given, taken, self.now()) {
            Verdict::Fits(session) => session,
            Verdict::MustLogIn { again } if !demands.no_page => return Ok(Step::LogIn { again }),
            Verdict::MustLogIn { .. } => return Ok(refuse(ErrorCode::LoginRequired, NOBODY)),
            Verdict::AnotherPerson => {
                let known = self.may_be_told_of(request, given).await?;
                return match (known, demands.no_page) {
                    (true, _) => Ok(refuse(ErrorCode::LoginRequired, "somebody else is logged in")),
                    (false, true) => Ok(refuse(ErrorCode::LoginRequired, NOBODY)),
                    (false, false) => refuse_another_person(),
                };
            }
        };
        // a consent ends at its resource (protocol.md 1.7), and what decides for her is asked for each time
        let standing = self.find_standing_consent(request, session).await?;
        let shown = Shown::of(&request.client, &request.redirect_uri, session);
        let standing = standing
            .filter(|consent| consent.covers(&request.scope, request.resource.as_deref()) && consent.is_of(shown.as_ref()));
        if standing.is_some() && !demands.consent && !self.needs_password(request) {
            match self.save_code(request, session, standing).await? {
                Ok(back) => return Ok(Step::Back(back)),
                // withdrawn just now: she is asked
                Err(CommitError::Changed) => self.check_client_stands(&request.client.id).await?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(match demands.no_page {
            false => Step::Consent,
            true if !demands.names_people() || self.may_be_told_of(request, given).await? => {
                refuse(ErrorCode::ConsentRequired, "the person has not agreed to this yet")
            }
            true => refuse(ErrorCode::LoginRequired, NOBODY),
        })
    }

    /// Whether a client may learn without a page that somebody of those whom it asks for is logged in: where the operator knows
    /// it, or she let it in. To anybody else that asks for certain people each answer is the one that it gets where nobody is
    /// logged in (threat 20).
    async fn may_be_told_of(&self, request: &AuthorizationRequest, session: Option<&Session>) -> Result<bool, Failure> {
        if request.client.declared {
            return Ok(true);
        }
        let Some(session) = session else { return Ok(false) };
        let consents = self.store.list_consents(&session.account).await?;
        Ok(consents.iter().any(|consent| consent.client == request.client.id))
    }
}
