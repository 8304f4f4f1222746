//! The mail that brings a code: what it is for, where the thing is kept, and which application asks. Whoever gets it may never
//! have heard of either, and anybody can have one sent to anybody; so it says nothing that a stranger chose. An application
//! that the operator does not know is named by the host that it leads to.

use crate::AuthorizationServer;
use crate::claims_interaction::Interaction;
use crate::mailer::Message;
use identity::Failure;
use identity::redirect_uri::place_of;
use types::spelling;

impl AuthorizationServer {
    /// Where the thing that is asked for is kept: the host of its resource server, or the name that this is known by.
    pub async fn place_of_thing(&self, interaction: &Interaction) -> Result<String, Failure> {
        let id = self.resource_server_id(&interaction.ticket().resource_server).await?;
        Ok(place_of(id.as_str()))
    }

    /// What for: at the place itself, which is named once, or by another application.
    async fn purpose_of(&self, interaction: &Interaction, place: &str) -> Result<String, Failure> {
        let client = self.identity.store.find_client(&interaction.client).await?;
        let declared = client.filter(|client| client.declared).map(|client| spelling::readable(&client.display_name()));
        let host = place_of(&interaction.redirect_uri);
        Ok(match declared {
            Some(name) if host == place => format!("open something at {name} ({place})"),
            None if host == place => format!("open something at {place}"),
            Some(name) => format!("open something at {place} with {name}"),
            None => format!("open something at {place} with an application at {host}"),
        })
    }

    /// The message to this address.
    pub(crate) async fn code_message(&self, interaction: &Interaction, to: &str, code: &str) -> Result<Message, Failure> {
        let place = self.place_of_thing(interaction).await?;
        let purpose = self.purpose_of(interaction, &place).await?;
        let text = format!(
            "Your code is {code}\n\n\
             Type it into the page where you asked for it. It shows {} that this address is yours,\n\
             so that you can {purpose}.\n\n\
             The code is good for ten minutes, and once. If it was not you, do nothing, and tell it to nobody.\n",
            self.issuer()
        );
        Message::new(to, format!("{code} is your code to open something at {place}"), text)
    }
}
