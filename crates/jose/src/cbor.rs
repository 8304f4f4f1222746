//! CBOR (RFC 8949) as far as authenticators write it (CTAP 2.1, 8): definite lengths, little nesting, no key twice. Called by
//! `webauthn` for the keys and extensions in authenticator data.

/// How deep items may lie in each other.
const MAX_DEPTH: u8 = 8;

/// One item, borrowed from the bytes that it was read from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Item<'a> {
    /// Of either sign.
    Integer(i128),
    Bytes(&'a [u8]),
    Text(&'a str),
    Array(Vec<Item<'a>>),
    Map(Vec<Member<'a>>),
    /// `true`, `false`, `null`, a fraction.
    Simple(u64),
}

/// One entry of a map.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Member<'a> {
    key: Item<'a>,
    value: Item<'a>,
}

/// An item, and what follows it.
pub(crate) struct Read<'a> {
    pub(crate) item: Item<'a>,
    pub(crate) rest: &'a [u8],
}

impl<'a> Item<'a> {
    /// What a map has under a number, as COSE labels its members (RFC 9052 7).
    fn labelled(&self, label: i128) -> Option<&Item<'a>> {
        let Self::Map(members) = self else { return None };
        members.iter().find(|member| member.key == Item::Integer(label)).map(|member| &member.value)
    }

    /// The number under this one.
    pub(crate) fn integer(&self, label: i128) -> Option<i128> {
        if let Self::Integer(number) = self.labelled(label)? { Some(*number) } else { None }
    }

    /// The bytes under this number.
    pub(crate) fn bytes(&self, label: i128) -> Option<&'a [u8]> {
        if let Self::Bytes(bytes) = self.labelled(label)? { Some(bytes) } else { None }
    }

    pub(crate) fn is_map(&self) -> bool {
        matches!(self, Self::Map(_))
    }
}

/// Reads the first item; `None` where there is none that is whole and of these kinds.
pub(crate) fn read(bytes: &[u8]) -> Option<Read<'_>> {
    read_within(bytes, MAX_DEPTH)
}

/// What an item begins with: its kind, and its value or length (RFC 8949 3).
struct Head<'a> {
    kind: u8,
    argument: u64,
    rest: &'a [u8],
}

fn read_head(bytes: &[u8]) -> Option<Head<'_>> {
    let (first, rest) = bytes.split_first()?;
    let width = match first & 31 {
        24 => 1,
        25 => 2,
        26 => 4,
        27 => 8,
        // 28 to 30 are reserved, 31 is an indefinite length
        28.. => return None,
        short => return Some(Head { kind: first >> 5, argument: short.into(), rest }),
    };
    let (digits, rest) = rest.split_at_checked(width)?;
    let argument = digits.iter().fold(0_u64, |number, digit| number << 8 | u64::from(*digit));
    Some(Head { kind: first >> 5, argument, rest })
}

fn read_within(bytes: &[u8], depth: u8) -> Option<Read<'_>> {
    let depth = depth.checked_sub(1)?;
    let Head { kind, argument, rest } = read_head(bytes)?;
    let split = || rest.split_at_checked(usize::try_from(argument).ok()?);
    match kind {
        0 => Some(Read { item: Item::Integer(argument.into()), rest }),
        1 => Some(Read { item: Item::Integer(-1 - i128::from(argument)), rest }),
        2 => split().map(|(own, rest)| Read { item: Item::Bytes(own), rest }),
        3 => split().and_then(|(own, rest)| Some(Read { item: Item::Text(std::str::from_utf8(own).ok()?), rest })),
        4 => read_array(rest, argument, depth),
        5 => read_map(rest, argument, depth),
        7 => Some(Read { item: Item::Simple(argument), rest }),
        // tags: nothing here needs one
        _ => None,
    }
}

fn read_array(mut rest: &[u8], count: u64, depth: u8) -> Option<Read<'_>> {
    let mut items = Vec::new();
    for _ in 0..count {
        let next = read_within(rest, depth)?;
        items.push(next.item);
        rest = next.rest;
    }
    Some(Read { item: Item::Array(items), rest })
}

fn read_map(mut rest: &[u8], count: u64, depth: u8) -> Option<Read<'_>> {
    let mut members: Vec<Member<'_>> = Vec::new();
    for _ in 0..count {
        let key = read_within(rest, depth)?;
        let value = read_within(key.rest, depth)?;
        rest = value.rest;
        // a map with one key twice is not valid (RFC 8949 5.6)
        if members.iter().any(|member| member.key == key.item) {
            return None;
        }
        members.push(Member { key: key.item, value: value.item });
    }
    Some(Read { item: Item::Map(members), rest })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Examples of RFC 8949, appendix A.
    #[test]
    fn items_are_read_whole_with_what_follows() {
        let read_all = |bytes: &'static [u8]| read(bytes).filter(|read| read.rest.is_empty()).map(|read| read.item);
        assert_eq!(read_all(&[0x17]), Some(Item::Integer(23)));
        assert_eq!(read_all(&[0x19, 0x03, 0xe8]), Some(Item::Integer(1000)));
        assert_eq!(read_all(&[0x39, 0x03, 0xe7]), Some(Item::Integer(-1000)));
        assert_eq!(read_all(&[0x44, 1, 2, 3, 4]), Some(Item::Bytes(&[1, 2, 3, 4])));
        assert_eq!(read_all(&[0x64, 0x49, 0x45, 0x54, 0x46]), Some(Item::Text("IETF")));
        assert_eq!(read_all(&[0x82, 1, 0xf5]), Some(Item::Array(vec![Item::Integer(1), Item::Simple(21)])));
        let map = read(&[0xa2, 1, 2, 0x20, 0x41, 4, 9]).unwrap();
        assert_eq!((map.item.integer(1), map.item.bytes(-1), map.rest), (Some(2), Some(&[4][..]), &[9][..]));
    }

    #[test]
    fn what_is_not_whole_or_has_two_readings_is_none() {
        let (deep, long) = ([0x81; 100], [0x9b, 255, 255, 255, 255, 255, 255, 255, 255]);
        for bad in [&[][..], &[0x18], &[0x44, 1], &[0x61, 0xff], &[0x9f, 0xff], &[0xc0, 1], &[0xa2, 1, 1, 1, 2], &deep, &long] {
            assert!(read(bad).is_none(), "{bad:?}");
        }
    }
}
