//! What a file is to a person, by its name: what stands in it is looked at by whoever decodes it, and never trusted.

/// What it is shown as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Album,
    Picture,
    Film,
    Music,
    Document,
    Other,
}

impl Kind {
    pub(super) fn of_file(name: &str) -> Self {
        let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).unwrap_or_default();
        match ending.as_str() {
            "jpg" | "jpeg" | "jpe" | "jfif" | "png" | "gif" | "webp" => Self::Picture,
            "mp4" | "m4v" | "webm" | "ogv" | "mov" => Self::Film,
            "mp3" | "m4a" | "ogg" | "oga" | "opus" | "flac" | "wav" | "aac" => Self::Music,
            "pdf" | "txt" | "md" | "doc" | "docx" | "odt" | "rtf" | "xls" | "xlsx" | "ods" | "csv" | "ppt" | "pptx" | "odp"
            | "epub" => Self::Document,
            _ => Self::Other,
        }
    }

    /// In a word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Album => "Album",
            Self::Picture => "Picture",
            Self::Film => "Video",
            Self::Music => "Music",
            Self::Document => "Document",
            Self::Other => "File",
        }
    }

    /// For programs.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Album => "album",
            Self::Picture => "picture",
            Self::Film => "video",
            Self::Music => "audio",
            Self::Document => "document",
            Self::Other => "file",
        }
    }

    /// The lines of its icon, in a square of 24.
    pub(super) fn icon(self) -> &'static str {
        match self {
            Self::Album => "M3 6.5h6.5l2 2.5H21v10.5H3z",
            Self::Picture => "M3 5h18v14H3zM3 16l5-5 4 4 3-3 6 6M16 9.2v.1",
            Self::Film => "M3 6h18v12H3zM10 9.5v5l4.5-2.5z",
            Self::Music => {
                "M9 17.5V5.5l10-2v12M9 17.5a2.5 2.5 0 1 1-5 0a2.5 2.5 0 1 1 5 0M19 15.5a2.5 2.5 0 1 1-5 0a2.5 2.5 0 1 1 5 0"
            }
            Self::Document => "M6 3h8l4 4v14H6zM14 3v4h4M9 12h6M9 16h6",
            Self::Other => "M6 3h8l4 4v14H6zM14 3v4h4",
        }
    }

    /// Its icon as a picture of its own, in a grey that is seen on light and dark.
    pub(super) fn picture(self) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"320\" height=\"320\" viewBox=\"-12 -12 48 48\"><path d=\"{}\" fill=\"none\" stroke=\"#7d8a83\" stroke-width=\"1.5\" stroke-linecap=\"round\" stroke-linejoin=\"round\"/></svg>",
            self.icon()
        )
    }
}

/// A size in words: `1.4 MB`.
pub(super) fn size_in_words(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000), ("bytes", 1)];
    let (unit, one) = UNITS.into_iter().find(|(_, one)| bytes >= *one).unwrap_or(("bytes", 1));
    let whole = bytes.checked_div(one).unwrap_or_default();
    let tenths = bytes.checked_rem(one).unwrap_or_default().saturating_mul(10).checked_div(one).unwrap_or_default();
    match (one, whole) {
        (1, 1) => "1 byte".to_owned(),
        (1, _) => format!("{whole} bytes"),
        (_, 0..10) => format!("{whole}.{tenths} {unit}"),
        _ => format!("{whole} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_a_file_is_shown_as() {
        for (name, kind) in [
            ("1.JPG", Kind::Picture),
            ("a.b.webp", Kind::Picture),
            ("film.mp4", Kind::Film),
            ("song.Opus", Kind::Music),
            ("will.pdf", Kind::Document),
            // it can hold a script: no picture of it stands on a page
            ("drawing.svg", Kind::Other),
            ("page.html", Kind::Other),
            ("jpg", Kind::Other),
            ("raw.heic", Kind::Other),
        ] {
            assert_eq!(Kind::of_file(name), kind, "{name}");
        }
    }

    #[test]
    fn sizes_are_told_in_words() {
        for (bytes, words) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (999, "999 bytes"),
            (1_450, "1.4 kB"),
            (12_000_000, "12 MB"),
            (4_999_999_999, "4.9 GB"),
            (u64::MAX, "18446744073 GB"),
        ] {
            assert_eq!(size_in_words(bytes), words);
        }
    }
}
