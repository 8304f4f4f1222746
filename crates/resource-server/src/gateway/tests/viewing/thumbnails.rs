//! `?thumbnail=`: judged as its file is, made once in a process of its own, and an icon where that process fails.

use super::*;
use std::path::Path;

/// What stands for the process that makes thumbnails: the picture itself is its thumbnail, and some end otherwise. It writes a
/// line for each that it was run for.
pub(in super::super) fn stand_in(runs: &Path) -> String {
    let runs = runs.display();
    format!(
        "echo $0 >> '{runs}'; case \"$(head -c 4 /proc/$$/fd/0)\" in unfi*) echo no; exit 65;; gone*) exit 74;; kill*) kill -KILL $$;; \
         *) cat;; esac"
    )
}

fn jpeg(side: u32) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image::DynamicImage::from(image::RgbImage::from_pixel(side, side, image::Rgb([200, 60, 20])))
        .write_to(&mut bytes, image::ImageFormat::Jpeg)
        .unwrap();
    bytes.into_inner()
}

#[tokio::test]
async fn a_thumbnail_is_judged_as_its_file_made_once_and_known_again() {
    let shared = Shared::album(&["holiday/bad.png", "holiday/drawing.svg", "holiday/will.pdf"]).await;
    std::fs::write(shared.world.folder.join("holiday/bad.png"), "unfit").unwrap();
    let kept = shared.world.folder.join(".thumbnails");
    let place = shared.world.folder.join("holiday/1.jpg");
    std::fs::write(&place, jpeg(900)).unwrap();
    std::fs::write(shared.world.folder.join("holiday/private.jpg"), jpeg(900)).unwrap();
    let small = shared.load("/holiday/1.jpg?thumbnail=320", &[]).await;
    assert_eq!((small.status.as_u16(), small.header("content-type")), (200, "image/jpeg"));
    assert_eq!((small.header("cache-control"), small.header("x-content-type-options")), ("private, no-cache", "nosniff"));
    assert_eq!(small.body, jpeg(900), "as the process that stands in gave it back");
    let tag = small.header("etag").to_owned();
    for tags in [tag.clone(), format!("\"x\", W/{tag}"), "*".to_owned()] {
        let again = shared.load("/holiday/1.jpg?thumbnail=320", &[("if-none-match", &tags)]).await;
        assert_eq!((again.status.as_u16(), again.body.len(), again.header("etag")), (304, 0, tag.as_str()), "{tags}");
    }
    assert_eq!(shared.load("/holiday/1.jpg?thumbnail=640", &[("if-none-match", &tag)]).await.status, 200);
    assert_eq!(shared.ask("/holiday/1.jpg?thumbnail=1280", &[]).await.status, 200);
    assert_eq!(std::fs::read_dir(&kept).unwrap().count(), 3, "each is made once");
    // what cannot be made is an icon, what is no size is none
    for path in ["/holiday/bad.png", "/holiday/drawing.svg", "/holiday/will.pdf"] {
        let icon = shared.load(&format!("{path}?thumbnail=320"), &[]).await;
        assert_eq!((icon.status.as_u16(), icon.header("content-type")), (200, "image/svg+xml"), "{path}");
        assert!(icon.header("content-security-policy").contains("sandbox") && !icon.text().contains("what is in"));
    }
    for size in ["321", "", "0", "99999", "320px"] {
        assert_eq!(shared.load(&format!("/holiday/1.jpg?thumbnail={size}"), &[]).await.status, 400, "{size}");
    }
    // another file in its place is another picture
    std::fs::write(&place, jpeg(100)).unwrap();
    let other = shared.load("/holiday/1.jpg?thumbnail=320", &[("if-none-match", &tag)]).await;
    assert_eq!((other.status.as_u16(), other.body), (200, jpeg(100)));
    // that somebody else's is kept opens it to nobody
    for fields in [&[][..], &[("if-none-match", "*")]] {
        assert_eq!(shared.load("/holiday/private.jpg?thumbnail=320", fields).await.status, 401);
        assert_eq!(shared.call("/holiday/1.jpg?thumbnail=320", fields).await.status, 401);
    }
}

/// What ends its process is an icon, also for whoever comes next; others are made as ever.
#[tokio::test]
async fn threat_46_a_picture_that_ends_its_process_is_left_alone_for_a_while() {
    let shared = Shared::album(&["holiday/kill.jpg", "holiday/gone.jpg", "holiday/good.jpg"]).await;
    let place = |name: &str| shared.world.folder.join("holiday").join(name);
    let runs = || std::fs::read_to_string(shared.world.folder.join(".thumbnails.made")).unwrap_or_default().lines().count();
    std::fs::write(place("kill.jpg"), "kill").unwrap();
    std::fs::write(place("gone.jpg"), "gone").unwrap();
    std::fs::write(place("good.jpg"), jpeg(900)).unwrap();
    let two = [shared.load("/holiday/kill.jpg?thumbnail=320", &[]), shared.load("/holiday/kill.jpg?thumbnail=640", &[])];
    for icon in futures_util::future::join_all(two).await {
        assert_eq!((icon.status.as_u16(), icon.header("content-type")), (200, "image/svg+xml"));
        assert_eq!(icon.header("etag"), "", "nobody keeps it for what there is");
    }
    for side in [320, 640, 1_280] {
        let icon = shared.load(&format!("/holiday/kill.jpg?thumbnail={side}"), &[]).await;
        assert_eq!((icon.status.as_u16(), icon.header("content-type")), (200, "image/svg+xml"));
    }
    assert_eq!(runs(), 1, "one process, of whichever size and however often");
    assert_eq!(shared.load("/holiday/good.jpg?thumbnail=320", &[]).await.body, jpeg(900));
    // what could not be read says nothing about the picture
    for runs_before in [2, 3] {
        assert_eq!(runs(), runs_before);
        assert_eq!(shared.load("/holiday/gone.jpg?thumbnail=320", &[]).await.status, 503);
    }
    // whoever changes it has another picture
    std::fs::write(place("kill.jpg"), jpeg(900)).unwrap();
    assert_eq!(shared.load("/holiday/kill.jpg?thumbnail=320", &[]).await.body, jpeg(900));
}
