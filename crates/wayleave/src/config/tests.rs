//! What a configuration file may say, and how a fault of it is told.

use super::*;

fn parse(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    let environment = environment.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned()));
    Config::parse(text, environment, PathBuf::new())
}

#[test]
fn what_cannot_work_is_said_with_key_and_line() {
    for (text, said) in [
        ("[server]\nlistn = \"x\"", "listn"),
        ("[assessment]\nticket_lifetime = \"long\"", "line 2"),
        ("[server]\nissuer = \"http://as.example\"", "https"),
        (
            "[[trusted_issuer]]\nissuer = \"https://idp.example\"\njwks_uri = \"https://idp.example/k\"\nclaims = [\"email\"]",
            "email_domains",
        ),
        (
            "[[client]]\nclient_id = \"a\"\nresource = \"https://x\"\n[[client]]\nclient_id = \"b\"\nresource = \"https://x\"",
            "one client per resource",
        ),
        ("[store]\nurl = 3", "line 2"),
        ("# one\n[server]\nlisten = \"here\"", "line 3: server.listen"),
        ("[[account]]\nusername = \"alice\"\n[[account]]\nusername = \"alice\"", "line 3: [[account]] `alice`"),
        (
            "[[account]]\nusername = \"alice\"\nemail = \"a@foo.example\"\n[[account]]\nusername = \"b\"\nemail = \"a@FOO.example\"",
            "line 4: [[account]] `b`: its `email`",
        ),
        (
            "[[account]]\nusername = \"alice\"\nemail = \"a@foo.example\"\n[[account]]\nusername = \"A@foo.example\"",
            "line 4: [[account]] `A@foo.example`: its `username` is",
        ),
        ("[[account]]\nusername = \"alice\"\npassword_hash = \"x\"", "[[account]] `alice`: `password_hash`"),
        (&format!("{GATEWAY}owner_claim = ''"), "gateway.owner_claim: it must name a claim"),
        (&GATEWAY.replace(":0\"", "\""), "gateway.listen: it must be an address and a port"),
        ("[server]\nissuer = \"https://user:s3cret@a.example\"", "line 2: server.issuer: a URL with a user name"),
        ("[server]\nissuer = \"https://A.example\"", "write it as `https://a.example`"),
        ("[[client]]\nclient_id = \"a\"\ngrant_types = [\"code\"]", "grant_types: it names what is none of authorization_code"),
        ("[[client]]\nclient_id = \"a\"\ngrant_types = [\"authorization_code\"]", "redirect_uris"),
        ("[store]\nurl = \"memory:\"\n[manager]\nlisten = \"x\"\nurl = \"http://127.0.0.1:1\"", "line 1: store: [store] is"),
        (&format!("[server]\ndata_dir = 'd'\n[store]\nurl = 'memory:'\n{GATEWAY}"), "line 3: store: [store] is"),
        (&format!("[server]\nissuer = 'http://127.0.0.1:1'\n[store]\nurl = 'memory:'\n{GATEWAY}"), "line 3: store: [store] is"),
        (
            &format!("[server]\ndata_dir = 'd'\n[store]\nurl = 'memory:'\n{GATEWAY}store = {{ url = 'memory:' }}"),
            "line 3: store: ",
        ),
        (
            &format!("[[client]]\nclient_id = 'b'\n{GATEWAY}").replace(":0\"", ":8080\""),
            "line 4: gateway.listen: 127.0.0.1:8080 is",
        ),
        (
            &format!("[server]\nlisten = '0.0.0.0:9'\n{GATEWAY}").replace(":0\"", ":9\""),
            "line 4: gateway.listen: 127.0.0.1:9 is where server",
        ),
        (
            "[server]\nlisten = '127.0.0.1:1'\nadmin_listen = '127.0.0.1:1'",
            "line 3: server.admin_listen: 127.0.0.1:1 is where server",
        ),
        (&format!("{GATEWAY}upstream = 'http://127.0.0.1:3'"), "line 4: gateway.folder: give `folder` or `upstream`"),
        ("[[get]]\nauthorization_server = \"http://127.0.0.1.nip.example\"\nclient_id = \"a\"", "loopback"),
        ("[[get]]\nauthorization_server = \"https://as.example\"", "client_id"),
    ] {
        let error = parse(text, &[]).unwrap_err();
        assert!(error.contains(said), "{text}: {error}");
    }
}

const GATEWAY: &str = "[gateway]\nlisten = \"127.0.0.1:0\"\nresource = \"http://127.0.0.1:1\"\nfolder = \".\"\n\
     authorization_servers = [\"http://127.0.0.1:2\"]\nclient_id = \"a\"\n";

#[test]
fn a_route_that_cannot_work_is_said_with_its_line() {
    let guarded = "resource = \"/a\"\nowner = \"alice\"\nscopes = { read = [\"view\"] }\n";
    let first = format!("[[gateway.route]]\npath = \"/a/{{rest..}}\"\n{guarded}");
    parse(&format!("{GATEWAY}{first}[[gateway.route]]\npath = \"/b\"\npublic = true\n"), &[]).unwrap();
    for (second, said) in [
        (format!("path = \"/a/b\"\n{guarded}"), "never reached"),
        (format!("path = \"/a/{{rest..}}\"\n{guarded}"), "never reached"),
        (format!("path = \"/b/*\"\n{guarded}"), "{rest..}"),
        (format!("path = \"/b/{{*rest}}\"\n{guarded}"), "{rest..}"),
        ("path = \"/b\"\nresource = \"/b\"\nowner = \"a\"\nscopes = { GETT = [\"view\"] }".into(), "GETT"),
        ("path = \"/b\"\nresource = \"/b\"\nscopes = { GET = [\"view\"] }".into(), "owner"),
        ("path = \"/b\"\n".into(), "public = true"),
        (format!("path = \"/b\"\npublic = true\n{guarded}"), "alone"),
        (format!("path = \"/b\"\n{guarded}identity = [\"name\"]\n"), "[\"email\"]"),
        ("path = \"/b\"\npublic = true\nidentity = [\"email\"]".into(), "alone"),
        ("path = \"/b\"\npublic = true\nmethods = [\"COPY\"]".into(), "COPY"),
        (format!("path = \"/b\"\nmethods = [\"GET\"]\n{guarded}"), "scopes"),
        ("path = \"/b\"\npublic = true\nname = \"B\"".into(), "alone"),
        (format!("path = \"/b\"\n{guarded}name = \" \"\n"), "empty"),
        (format!("path = \"/b/{{c}}\"\nname = \"B\"\n{}", guarded.replace("/a", "/b/{c}")), "names many"),
    ] {
        let error = parse(&format!("{GATEWAY}{first}\n [[ gateway.route ]] # the second\n{second}"), &[]).unwrap_err();
        assert!(error.contains(said) && error.starts_with("line 13: [[gateway.route]]"), "{second}: {error}");
    }
}

#[test]
fn what_stands_beside_each_other_works() {
    let own = "store = { url = 'memory:' }";
    for works in [
        // a gateway's file says nothing of a server, whose defaults count for nobody then
        &format!("[server]\ndata_dir = 'd'\n{GATEWAY}").replace(":0\"", ":8080\""),
        &format!("[server]\nissuer = 'http://127.0.0.1:1'\n[store]\nurl = 'memory:'\n{GATEWAY}{own}"),
        &format!("[server]\nlisten = '127.0.0.1:0'\n{GATEWAY}"),
    ] {
        parse(works, &[]).unwrap();
    }
}

#[test]
fn every_store_lies_in_the_data_folder() {
    let gateway = format!("[server]\ndata_dir = \"data8\"\n{GATEWAY}");
    let config = parse(&gateway, &[]).unwrap();
    assert_eq!(config.store.url, "sqlite:data8/server.db");
    assert_eq!(config.gateway.unwrap().store_url(), "sqlite:data8/gateway.db");
    assert_eq!(parse("", &[]).unwrap().store.url, "sqlite:wayleave-data/server.db");
    let manager = "[manager]\nlisten = \"127.0.0.1:0\"\nurl = \"http://127.0.0.1:1\"\nstore = { url = \"memory:\" }";
    assert_eq!(parse(manager, &[]).unwrap().manager.unwrap().store_url(), "memory:");
}

#[test]
fn a_store_of_an_earlier_version_is_not_passed_over() {
    let base = std::env::temp_dir().join(format!("wayleave-left-{}", std::process::id()));
    let load = || {
        let file = base.join("wayleave.toml");
        std::fs::write(&file, "[server]\ndata_dir = \"own\"").unwrap();
        Config::load(Some(&file), std::iter::empty())
    };
    for folder in ["own", "wayleave-data"] {
        std::fs::create_dir_all(base.join(folder)).unwrap();
    }
    std::fs::write(base.join("wayleave-data/server.db"), "").unwrap();
    assert!(load().is_ok(), "another server's");
    std::fs::write(base.join("own/server.key"), "").unwrap();
    let Err(Exit::Usage(what)) = load() else { panic!("passed over") };
    assert!(what.contains("own/server.db") && what.contains("wayleave-data/server.db"), "{what}");
    // whose key lies there is a desk or a gateway, beside a server in the same folder
    for party in [GATEWAY, "[manager]\nlisten = \"127.0.0.1:0\"\nurl = \"http://127.0.0.1:1\"\n"] {
        let file = base.join("another.toml");
        std::fs::write(&file, format!("[server]\ndata_dir = \"own\"\n{party}")).unwrap();
        let loaded = Config::load(Some(&file), std::iter::empty());
        assert!(loaded.is_ok(), "{party}: {:?}", loaded.err());
    }
    std::fs::rename(base.join("wayleave-data/server.db"), base.join("own/server.db")).unwrap();
    assert!(load().is_ok());
    std::fs::remove_dir_all(base).unwrap();
}

/// A gateway's was sealed by no key that would lie in `data_dir`.
#[test]
fn a_gateways_store_of_an_earlier_version_is_named_without_a_key() {
    let base = std::env::temp_dir().join(format!("wayleave-left-gateway-{}", std::process::id()));
    std::fs::create_dir_all(base.join("wayleave-data")).unwrap();
    std::fs::write(base.join("wayleave-data/gateway.db"), "").unwrap();
    let file = base.join("wayleave.toml");
    let load = |more: &str| {
        std::fs::write(&file, format!("[server]\ndata_dir = \"own\"\n{GATEWAY}{more}")).unwrap();
        Config::load(Some(&file), std::iter::empty())
    };
    let Err(Exit::Usage(what)) = load("") else { panic!("passed over") };
    assert!(
        what.contains("line 2: server.data_dir") && what.contains("own/gateway.db") && what.contains("[gateway.store] url"),
        "{what}"
    );
    assert!(load("store = { url = \"sqlite:own/gateway.db\" }").is_ok(), "the other one is another gateway's");
    std::fs::remove_file(base.join("wayleave-data/gateway.db")).unwrap();
    assert!(load("").is_ok());
    std::fs::remove_dir_all(base).unwrap();
}

/// What a start finds is said with file, line and key as what was read is.
#[test]
fn what_is_missing_is_said_with_file_line_and_key() {
    let base = std::env::temp_dir().join(format!("wayleave-missing-{}", std::process::id()));
    std::fs::create_dir_all(&base).unwrap();
    let file = base.join("wayleave.toml");
    let load = |text: &str| {
        std::fs::write(&file, text).unwrap();
        Config::load(Some(&file), std::iter::empty()).unwrap()
    };
    let said = |exit: Exit| match exit {
        Exit::Failed(what) | Exit::Usage(what) => what.replace(&format!("{}", base.display()), "BASE"),
    };
    let config = load("[[client]]\nclient_id = \"a\"\n[[client]]\nclient_id = \"photos-rs\"\nclient_secret_file = \"none\"");
    let client = config.client.get(1).unwrap();
    assert_eq!(
        said(crate::declared::secret_of(&config, client).unwrap_err()),
        "BASE/wayleave.toml: line 5: [[client]] `photos-rs`: client_secret_file: the file that it names cannot be read: No such file \
         or directory (os error 2) (paths begin at BASE)"
    );
    let config = load("[mail]\nsubmission = 'smtp://127.0.0.1'\nfrom = 'a@b.example'\nusername = 'a'\npassword_file = 'none'");
    let what = said(crate::assemble::mailer(&config).map(drop).unwrap_err());
    assert!(what.starts_with("BASE/wayleave.toml: line 5: mail.password_file: the file that it names cannot be read"), "{what}");
    // a party that the file does not have, and no file at all
    let what = said(config.missing("gateway"));
    assert!(what.starts_with("BASE/wayleave.toml has no [gateway]") && what.contains("--config"), "{what}");
    let what = said(parse("", &[]).unwrap().missing("gateway"));
    assert!(what.contains("there is no wayleave.toml in /") && what.contains("--config"), "{what}");
    std::fs::remove_dir_all(base).unwrap();
}

#[test]
fn the_environment_overrides_the_file() {
    let config = parse(
        "[assessment]\nrpt_lifetime = 600",
        &[("WAYLEAVE_ASSESSMENT__RPT_LIFETIME", "60"), ("WAYLEAVE_SERVER__LISTEN", "127.0.0.1:1")],
    )
    .unwrap();
    assert_eq!(config.assessment.rpt_lifetime, 60);
    assert_eq!(config.server.listen, "127.0.0.1:1");
    assert!(parse("", &[("WAYLEAVE_SERVER__NONSENSE", "1")]).is_err());
}
