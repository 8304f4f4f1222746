//! Private keys that sign. A key is parsed once and kept.

use crate::jwk::{Algorithm, PublicKey};
use crate::{base64url, jws};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use serde::Serialize;

enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
    Rsa(Box<RsaKeyPair>),
}

/// A signing key with its public half. It has no `Debug` and no `Serialize`: the private half
/// leaves only through [`SigningKey::to_pkcs8`], on its way to be sealed.
pub struct SigningKey {
    pair: Pair,
    public: PublicKey,
}

/// A key could not be made, read or used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signing key cannot be used")]
pub struct KeyError;

impl SigningKey {
    /// Makes a key; its `kid` is its thumbprint.
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        let pair = match algorithm {
            Algorithm::EdDsa => Pair::Ed25519(Ed25519KeyPair::generate().map_err(|_| KeyError)?),
            Algorithm::Es256 => Pair::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| KeyError)?),
            Algorithm::Rs256 => {
                Pair::Rsa(Box::new(RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).map_err(|_| KeyError)?))
            }
        };
        Ok(Self::of(pair))
    }

    /// Reads the form that [`SigningKey::to_pkcs8`] writes.
    pub fn from_pkcs8(algorithm: Algorithm, pkcs8: &[u8]) -> Result<Self, KeyError> {
        let pair = match algorithm {
            Algorithm::EdDsa => Pair::Ed25519(Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| KeyError)?),
            Algorithm::Es256 => {
                Pair::P256(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).map_err(|_| KeyError)?)
            }
            Algorithm::Rs256 => Pair::Rsa(Box::new(RsaKeyPair::from_pkcs8(pkcs8).map_err(|_| KeyError)?)),
        };
        Ok(Self::of(pair))
    }

    fn of(pair: Pair) -> Self {
        let public = match &pair {
            Pair::Ed25519(pair) => PublicKey::ed25519(None, pair.public_key().as_ref()),
            Pair::P256(pair) => PublicKey::p256(None, pair.public_key().as_ref()),
            Pair::Rsa(pair) => {
                let public = pair.public_key();
                PublicKey::rsa(
                    None,
                    public.modulus().big_endian_without_leading_zero(),
                    public.exponent().big_endian_without_leading_zero(),
                )
            }
        };
        let kid = public.thumbprint();
        Self { pair, public: public.with_kid(kid) }
    }

    /// The private key in PKCS #8, to be sealed before it is stored.
    pub fn to_pkcs8(&self) -> Result<Vec<u8>, KeyError> {
        let der = match &self.pair {
            Pair::Ed25519(pair) => pair.to_pkcs8().map_err(|_| KeyError)?.as_ref().to_vec(),
            Pair::P256(pair) => pair.to_pkcs8v1().map_err(|_| KeyError)?.as_ref().to_vec(),
            Pair::Rsa(pair) => pair.as_der().map_err(|_| KeyError)?.as_ref().to_vec(),
        };
        Ok(der)
    }

    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    pub fn kid(&self) -> &str {
        self.public.kid().unwrap_or_default()
    }

    pub fn algorithm(&self) -> Algorithm {
        self.public.algorithm()
    }

    /// Signs claims as a compact JWS whose header has `typ`, `alg` and `kid`.
    pub fn sign(&self, typ: &str, claims: &impl Serialize) -> Result<String, KeyError> {
        self.sign_as(typ, self.kid(), claims)
    }

    /// The same under another id: a DID, by which others know this key.
    pub fn sign_as(&self, typ: &str, kid: &str, claims: &impl Serialize) -> Result<String, KeyError> {
        let header = serde_json::json!({"typ": typ, "alg": self.algorithm().as_str(), "kid": kid});
        self.sign_with_header(&header, claims)
    }

    pub(crate) fn sign_with_header(&self, header: &serde_json::Value, claims: &impl Serialize) -> Result<String, KeyError> {
        let payload = serde_json::to_vec(claims).map_err(|_| KeyError)?;
        let input = jws::signing_input(header.to_string().as_bytes(), &payload);
        let signature = self.signature(input.as_bytes())?;
        Ok(format!("{input}.{}", base64url::encode(signature)))
    }

    fn signature(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.pair {
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::P256(pair) => pair.sign(&SystemRandom::new(), message).map(|s| s.as_ref().to_vec()).map_err(|_| KeyError),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).map_err(|_| KeyError)?;
                Ok(signature)
            }
        }
    }
}
