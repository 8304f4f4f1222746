//! Names that others chose, on pages: what turns the letters beside it, or is not seen, stands nowhere.

use super::*;

#[tokio::test]
async fn what_turns_letters_in_a_name_stands_on_no_page() {
    // it looks like `exe.jpg`, and is a program
    let turned = "\u{202e}gpj.exe";
    let (picture, song) = (format!("holiday/{turned}.jpg"), format!("holiday/{turned}.mp3"));
    let (program, in_album) = (format!("holiday/{turned}"), "holiday/\u{202e}album/1.jpg");
    let shared = Shared::album(&[&picture, &song, &program, in_album, "holiday/\u{200b}\u{2066}"]).await;
    let encode = |name: &str| percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC).to_string();
    let name = encode(&format!("{turned}.jpg"));
    let album = encode("\u{202e}album");
    for path in ["/holiday/".to_owned(), format!("/holiday/{name}?view"), format!("/holiday/{album}/"), "/".to_owned()] {
        let page = shared.open(&path).await;
        assert_eq!(page.status, 200, "{path}");
        for unseen in ['\u{202e}', '\u{200b}', '\u{2066}'] {
            assert!(!page.text().contains(unseen), "{path}: {}", page.text());
        }
    }
    let page = shared.open("/holiday/").await.text();
    for there in ["alt=\"gpj.exe.jpg\"", "aria-label=\"gpj.exe.mp3\"", "download=\"gpj.exe\"", "download=\"(no name)\""] {
        assert!(page.contains(there), "{there}: {page}");
    }
    let zip = shared.load(&format!("/holiday/{album}/?zip"), &[]).await;
    assert!(zip.header("content-disposition").starts_with("attachment; filename=\"album.zip\""), "{zip:?}", zip = zip.headers);
    // a program has each name as it is
    assert!(shared.ask("/holiday/", PROGRAM).await.names().contains(&format!("{turned}.jpg")));
}
