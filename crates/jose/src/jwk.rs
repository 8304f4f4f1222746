//! Public keys as JWK (RFC 7517, 7518, 8037) and sets of them.

use crate::{base64url, digest};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{self, ECDSA_P256_SHA256_FIXED, ParsedPublicKey, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Signature algorithms spoken here; there is no `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    #[serde(rename = "EdDSA")]
    EdDsa,
    #[serde(rename = "ES256")]
    Es256,
    #[serde(rename = "RS256")]
    Rs256,
}

impl Algorithm {
    /// As in a JWS header's `alg`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }

    /// Whether a header's `alg` names this algorithm; RFC 9864 spells EdDSA with Ed25519 out.
    pub fn is_named(self, alg: &str) -> bool {
        alg == self.as_str() || (self == Self::EdDsa && alg == "Ed25519")
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Material {
    Ed25519(Vec<u8>),
    P256 { x: Vec<u8>, y: Vec<u8> },
    Rsa { n: Vec<u8>, e: Vec<u8> },
}

/// A public key, its one algorithm, and its id if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    kid: Option<String>,
    material: Material,
}

/// Members of private and of shared keys (RFC 7518 6.2.2, 6.3.2 and 6.4).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Why a JWK was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadJwk {
    #[error("a key must be a JSON object with `kty`")]
    Shape,
    #[error("the key holds private members; only public keys are taken")]
    Private,
    #[error("keys of this kind are not supported: use Ed25519, P-256 or RSA of 2048 bits or more")]
    Unsupported,
    #[error("`{0}` is missing or is no base64url of the right length")]
    Member(&'static str),
}

fn is_for_verifying(operations: &Value) -> bool {
    operations.as_array().is_some_and(|all| all.iter().any(|one| one.as_str() == Some("verify")))
}

/// Why a set of keys verifies nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKeySet {
    #[error("there must be a JSON object with an array `keys`")]
    Shape,
    #[error("`keys` is empty: a public key is needed, to verify signatures by")]
    Empty,
    #[error("`keys[{at}]`: {error}")]
    Key {
        /// Its place in the array.
        at: usize,
        error: BadJwk,
    },
}

/// What the seven encodings of points of small order are, but for the sign in their last bit.
const SMALL_ORDER: [[u8; 32]; 7] = [
    padded(0, 0, 0),
    padded(1, 0, 0),
    padded(0xec, 0xff, 0x7f),
    padded(0xed, 0xff, 0x7f),
    padded(0xee, 0xff, 0x7f),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05,
        0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa,
        0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

const fn padded(first: u8, between: u8, last: u8) -> [u8; 32] {
    let mut all = [between; 32];
    let [begin, .., end] = &mut all;
    *begin = first;
    *end = last;
    all
}

/// Whether an Ed25519 key is a point of small order: one signature of such a key is good for everything, so it says nothing.
pub(crate) fn is_of_small_order(key: &[u8]) -> bool {
    let Some((last, begin)) = key.split_last() else { return true };
    SMALL_ORDER.iter().any(|point| point.split_last().is_some_and(|(end, rest)| rest == begin && *end == last & 0x7f))
}

fn sound(key: Vec<u8>) -> Result<Vec<u8>, BadJwk> {
    if is_of_small_order(&key) { Err(BadJwk::Unsupported) } else { Ok(key) }
}

impl PublicKey {
    /// Reads a JWK. Private members are refused: whoever publishes them has lost the key.
    pub fn from_jwk(jwk: &Value) -> Result<Self, BadJwk> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let kty = text("kty").ok_or(BadJwk::Shape)?;
        if PRIVATE_MEMBERS.iter().any(|name| jwk.get(name).is_some()) {
            return Err(BadJwk::Private);
        }
        // RFC 7517 4.2: nor does one that is for encryption sign anything
        if jwk.get("use").is_some_and(|purpose| purpose != "sig") {
            return Err(BadJwk::Unsupported);
        }
        // RFC 7517 4.3: a key whose operations are named is for those alone
        if jwk.get("key_ops").is_some_and(|operations| !is_for_verifying(operations)) {
            return Err(BadJwk::Unsupported);
        }
        let bytes = |name: &'static str| text(name).and_then(base64url::decode).ok_or(BadJwk::Member(name));
        let sized = |name: &'static str| bytes(name).and_then(|b| if b.len() == 32 { Ok(b) } else { Err(BadJwk::Member(name)) });
        let material = match (kty, text("crv")) {
            ("OKP", Some("Ed25519")) => Material::Ed25519(sized("x").and_then(sound)?),
            ("EC", Some("P-256")) => Material::P256 { x: sized("x")?, y: sized("y")? },
            ("RSA", _) => {
                let (n, e) = (bytes("n")?, bytes("e")?);
                if !(256..=1024).contains(&n.len()) || e.len() > 8 {
                    return Err(BadJwk::Unsupported);
                }
                Material::Rsa { n, e }
            }
            _ => return Err(BadJwk::Unsupported),
        };
        let key = Self { kid: text("kid").map(str::to_owned), material };
        match text("alg") {
            Some(alg) if !key.algorithm().is_named(alg) => Err(BadJwk::Unsupported),
            _ => Ok(key),
        }
    }

    pub(crate) fn ed25519(kid: Option<String>, x: &[u8]) -> Self {
        Self { kid, material: Material::Ed25519(x.to_vec()) }
    }

    /// From an uncompressed point, `0x04 || x || y`.
    pub(crate) fn p256(kid: Option<String>, point: &[u8]) -> Self {
        let (x, y) = point.get(1..).unwrap_or_default().split_at_checked(32).unwrap_or_default();
        Self { kid, material: Material::P256 { x: x.to_vec(), y: y.to_vec() } }
    }

    /// From a point of which only `x` and the sign of `y` are given, as did:key has it; none where it is on no curve.
    pub(crate) fn p256_compressed(point: &[u8]) -> Option<Self> {
        let parsed = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok()?;
        let der: PublicKeyX509Der = parsed.as_der().ok()?;
        // the point is the last thing in it, whole
        let der = der.as_ref();
        let whole = der.get(der.len().checked_sub(65)?..).filter(|whole| whole.first() == Some(&4))?;
        Some(Self::p256(None, whole))
    }

    pub(crate) fn p256_compact(&self) -> Option<Vec<u8>> {
        let Material::P256 { x, y } = &self.material else { return None };
        let sign = 2 + (y.last().copied().unwrap_or_default() & 1);
        Some([&[sign], x.as_slice()].concat())
    }

    pub(crate) fn rsa(kid: Option<String>, n: &[u8], e: &[u8]) -> Self {
        Self { kid, material: Material::Rsa { n: n.to_vec(), e: e.to_vec() } }
    }

    pub(crate) fn ed25519_bytes(&self) -> Option<&[u8]> {
        if let Material::Ed25519(x) = &self.material { Some(x) } else { None }
    }

    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The same key under another id.
    pub fn with_kid(self, kid: String) -> Self {
        Self { kid: Some(kid), ..self }
    }

    /// The algorithm that goes with this key.
    pub fn algorithm(&self) -> Algorithm {
        match self.material {
            Material::Ed25519(_) => Algorithm::EdDsa,
            Material::P256 { .. } => Algorithm::Es256,
            Material::Rsa { .. } => Algorithm::Rs256,
        }
    }

    /// The members that RFC 7638 hashes, in its order.
    fn required_members(&self) -> String {
        let b = base64url::encode;
        match &self.material {
            Material::Ed25519(x) => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, b(x)),
            Material::P256 { x, y } => format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, b(x), b(y)),
            Material::Rsa { n, e } => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, b(e), b(n)),
        }
    }

    /// JWK SHA-256 thumbprint (RFC 7638), base64url: the `jkt` of RFC 9449.
    pub fn thumbprint(&self) -> String {
        base64url::encode(digest::sha256(&[self.required_members().as_bytes()]))
    }

    /// The public JWK, with `kid`, `alg` and `use`.
    pub fn to_jwk(&self) -> Value {
        let mut jwk: Value = serde_json::from_str(&self.required_members()).unwrap_or_else(|_| json!({}));
        if let Some(object) = jwk.as_object_mut() {
            object.insert("alg".into(), self.algorithm().as_str().into());
            object.insert("use".into(), "sig".into());
            if let Some(kid) = &self.kid {
                object.insert("kid".into(), kid.as_str().into());
            }
        }
        jwk
    }

    /// Whether `signature` over `message` was made by this key.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Ed25519(x) => UnparsedPublicKey::new(&signature::ED25519, x).verify(message, signature).is_ok(),
            Material::P256 { x, y } => {
                let point = [&[4][..], x, y].concat();
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).verify(message, signature).is_ok()
            }
            Material::Rsa { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(&signature::RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok()
            }
        }
    }
}

/// A JWK set (RFC 7517 5). Keys for encryption and of unknown kinds are left out, as it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet(Vec<PublicKey>);

impl KeySet {
    pub fn new(keys: Vec<PublicKey>) -> Self {
        Self(keys)
    }

    /// Reads `{"keys": [...]}`; `None` where there is no such array, or a key in it is private.
    pub fn from_json(set: &Value) -> Option<Self> {
        let mut keys = Vec::new();
        for jwk in set.get("keys")?.as_array()? {
            if jwk.get("use").and_then(Value::as_str).is_some_and(|purpose| purpose != "sig") {
                continue;
            }
            match PublicKey::from_jwk(jwk) {
                Ok(key) => keys.push(key),
                Err(BadJwk::Private) => return None,
                Err(_) => {}
            }
        }
        Some(Self(keys))
    }

    /// The same for a set that is to verify something; else what about it does not read. What is of no use beside a good key does
    /// no harm (RFC 7517 5).
    pub fn readable(set: &Value) -> Result<Self, BadKeySet> {
        let all = set.get("keys").and_then(Value::as_array).ok_or(BadKeySet::Shape)?;
        let read = Self::from_json(set);
        let is_told = |error: &BadJwk| read.is_some() || *error == BadJwk::Private;
        let first = all.iter().enumerate().find_map(|(at, jwk)| {
            let error = PublicKey::from_jwk(jwk).err().filter(is_told)?;
            Some(BadKeySet::Key { at, error })
        });
        read.filter(|keys| !keys.is_empty()).ok_or(first.unwrap_or(BadKeySet::Empty))
    }

    /// RFC 7638 thumbprints of its keys.
    pub fn thumbprints(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().map(PublicKey::thumbprint)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The keys that a header with this `kid` and `alg` may mean: the one of that id, or all where
    /// the header has none.
    pub fn candidates<'a>(&'a self, kid: Option<&'a str>, alg: &'a str) -> impl Iterator<Item = &'a PublicKey> {
        self.0
            .iter()
            .filter(move |key| key.algorithm().is_named(alg) && kid.is_none_or(|kid| key.kid().is_none_or(|own| own == kid)))
    }
}
