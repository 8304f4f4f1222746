//! The properties of the fuzz targets (`fuzz/`), held by every run of the suite: for each seed, for seeds that were changed,
//! and for any bytes.

#[path = "../../../fuzz/properties/mod.rs"]
mod properties;

use proptest::prelude::*;
use std::path::Path;

/// Seeds of a target, in the order of their names.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let mut places: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    places.sort();
    places.iter().map(|place| std::fs::read(place).unwrap()).collect()
}

/// A change to a seed: at a place, something is put in the stead of so many bytes.
fn any_change() -> impl Strategy<Value = (prop::sample::Index, usize, Vec<u8>)> {
    let telling = prop::sample::select(b"\0\x01\x02./%\\;:@\"',={}[]+- \r\n?#AZaz09_\x7f\xc3\xff".as_slice());
    (any::<prop::sample::Index>(), 0..3_usize, prop::collection::vec(prop_oneof![telling, any::<u8>()], 0..4))
}

/// Inputs for a target.
fn any_input(target: &str) -> impl Strategy<Value = Vec<u8>> {
    let changed = (prop::sample::select(seeds(target)), prop::collection::vec(any_change(), 0..4));
    let changed = changed.prop_map(|(mut seed, changes)| {
        for (place, taken, put) in changes {
            let from = place.index(seed.len() + 1);
            seed.splice(from..(from + taken).min(seed.len()), put);
        }
        seed
    });
    prop_oneof![4 => changed, 1 => prop::collection::vec(any::<u8>(), 0..200)]
}

fn hold(target: &str, holds: fn(&[u8])) {
    for seed in seeds(target) {
        holds(&seed);
    }
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig { failure_persistence: None, ..Default::default() });
    let ran = runner.run(&any_input(target), |input| {
        holds(&input);
        Ok(())
    });
    ran.unwrap();
}

macro_rules! properties {
    ($($target:ident)+) => {$(
        #[test]
        fn $target() {
            hold(stringify!($target), properties::$target::holds);
        }
    )+};
}

properties! {
    call_of_proxy challenge cookie delegation did did_document dpop email form gateway_path json jwk jws metadata picture place
    range resource_owner_token sealed_ticket token_text webauthn webdav webfinger
}

/// Each target has its property here, and each property its target.
#[test]
fn every_target_is_mirrored() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/targets");
    let own = include_str!("properties.rs");
    let listed = own.split_once("properties! {\n").unwrap().1.split('}').next().unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
        assert!(listed.split_whitespace().any(|word| word == name), "`{name}` is no property here");
        assert!(!seeds(&name).is_empty(), "`{name}` has no seeds");
    }
}
