use super::*;
use std::path::PathBuf;

/// A folder with a file that stands for a picture, and what a process writes.
struct Place(PathBuf);

impl Place {
    fn new(content: &[u8]) -> Self {
        let random: [u8; 8] = jose::ambient::random(&jose::SystemRandomness);
        let place = Self(std::env::temp_dir().join(format!("wayleave-maker-{}", jose::base64url::encode(random))));
        std::fs::create_dir(&place.0).unwrap();
        std::fs::write(place.0.join("picture"), content).unwrap();
        place
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap_or_default()
    }

    /// What a process with this script makes of it, with `$at` for the folder.
    async fn make(&self, maker: &Maker) -> io::Result<Made> {
        maker.make("f", File::open(self.0.join("picture")).unwrap(), 320).await
    }

    fn maker(&self, script: &str, patience: Patience) -> Maker {
        let script = format!("at='{}'; {script}", self.0.display());
        Maker::new(vec!["/bin/sh".into(), "-c".into(), script], patience)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const SHORT: Patience = Patience { making: Duration::from_millis(2_000), after_failure: Duration::ZERO };

fn is_running(pid: &str) -> bool {
    std::path::Path::new("/proc").join(pid.trim()).exists()
}

#[tokio::test]
async fn a_process_gets_the_picture_and_the_side_and_nothing_else() {
    let place = Place::new(JPEG);
    // the tests' own environment names this
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    let maker = place.maker("[ -z \"$CARGO_MANIFEST_DIR\" ] && [ \"$0\" = 320 ] && cat", Patience::default());
    assert_eq!(place.make(&maker).await.unwrap(), Made::Thumbnail(JPEG.to_vec()));
    assert!(maker.may_make("f"));
    let nobody = Maker::new(Vec::new(), Patience::default());
    assert!(!nobody.may_make("f"));
    assert_eq!(place.make(&nobody).await.unwrap(), Made::Failed);
    let absent = Maker::new(vec!["/nowhere".into()], Patience::default());
    assert!(place.make(&absent).await.is_err() && absent.may_make("f"), "it says nothing about the picture");
}

#[tokio::test]
async fn what_a_process_says_is_judged_by_its_end() {
    let place = Place::new(JPEG);
    for (script, made) in [
        ("cat", Made::Thumbnail(JPEG.to_vec())),
        ("printf '\\211PNG'", Made::Thumbnail(PNG.to_vec())),
        ("echo too large; exit 65", Made::Unfit),
        ("echo '<script>'", Made::Failed),
        ("exit 0", Made::Failed),
        ("cat; exit 101", Made::Failed),
        ("cat; kill -ABRT $$", Made::Failed),
        ("cat; kill -SEGV $$", Made::Failed),
        ("cat; head -c 9000000 /dev/zero", Made::Failed),
        ("cat; exec cat /dev/zero", Made::Failed),
    ] {
        let maker = place.maker(script, Patience::default());
        let begun = Instant::now();
        assert_eq!(place.make(&maker).await.unwrap(), made, "{script}");
        assert!(begun.elapsed() < Duration::from_secs(18), "{script}: sooner than what hangs");
        assert_eq!(maker.may_make("f"), made != Made::Failed, "{script}: what ended badly is left alone for a while");
        assert!(maker.may_make("g"), "others are made");
    }
    let maker = place.maker("echo 'a disk is away'; exit 74", Patience::default());
    assert_eq!(place.make(&maker).await.unwrap_err().to_string(), "a disk is away");
    assert!(maker.may_make("f"));
}

#[tokio::test]
async fn a_process_has_so_much_time_and_is_gone_then() {
    let place = Place::new(JPEG);
    for script in ["cat; echo $$ > \"$at/pid\"; exec sleep 1000", "exec >&-; echo $$ > \"$at/pid\"; exec sleep 1000"] {
        let maker = place.maker(script, SHORT);
        assert_eq!(place.make(&maker).await.unwrap(), Made::Failed);
        assert!(!place.read("pid").is_empty() && !is_running(&place.read("pid")), "{script}");
        assert!(maker.may_make("f"), "its time is over");
    }
}

/// A gateway that ends, or a turn that is given up, leaves nothing behind.
#[tokio::test]
async fn a_process_that_nobody_waits_for_ends() {
    let place = Place::new(JPEG);
    let maker = place.maker("echo $$ > \"$at/pid\"; exec sleep 1000", Patience::default());
    let begun = Instant::now();
    let is_running_now = async {
        while place.read("pid").is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(15));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        _ = place.make(&maker) => panic!("it sleeps for longer"),
        () = is_running_now => {}
    }
    let begun = Instant::now();
    while is_running(&place.read("pid")) {
        assert!(begun.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
