//! The content: fetched piece by piece, so that it may be of any size, to a file or to standard output.

use super::{Options, failed, say};
use crate::Exit;
use crate::whole_file::WholeFile;
use client::{Called, Challenge, Client, Rpt};
use std::io::{IsTerminal, Write};

/// What came of a call.
pub(super) enum Fetched {
    /// The content, which is where it belongs.
    Content,
    Challenged(Challenge),
}

/// Calls the URL, with an RPT or before there is one.
pub(super) async fn fetch(client: &Client, options: &Options, rpt: Option<&Rpt>) -> Result<Fetched, Exit> {
    let mut out = Output::begin(options)?;
    let mut unwritten = None;
    let write = |piece: &[u8]| out.write_all(piece).inspect_err(|error| unwritten = Some(error.to_string()));
    let called = client.fetch(&options.url, rpt, write).await;
    if let Some(error) = unwritten {
        return Err(Exit::failed(format!("the content cannot be written: {error}")));
    }
    let answer = match called.map_err(failed)? {
        Called::Challenged(challenge) if rpt.is_none() => return Ok(Fetched::Challenged(challenge)),
        Called::Challenged(_) => return Err(Exit::failed("the resource server refused the RPT")),
        Called::AuthorizationServerUnreachable => return Err(Exit::failed("its authorization server cannot be reached")),
        Called::Answered(answer) => answer,
    };
    let status = answer.status.as_u16();
    say(&format!("HTTP {status}"));
    if options.output.is_some() && !is_whole(status) {
        return Err(Exit::failed(format!("the server answered {status}, which is not the whole content")));
    }
    if !answer.status.is_success() {
        out.write_all(&answer.body).map_err(Exit::failed)?;
        out.keep()?;
        return Err(Exit::failed(format!("the server answered {status}")));
    }
    out.keep()?;
    Ok(Fetched::Content)
}

/// Whether an answer is the content (RFC 9110 15.3): not a part of it that nobody asked for, nor a word about it.
fn is_whole(status: u16) -> bool {
    matches!(status, 200 | 203)
}

/// Where the content goes; a file is replaced when everything has come, and only then.
enum Output {
    File(WholeFile),
    /// Standard output, if something reads it.
    Standard,
    /// Standard output, if it is somebody's terminal.
    Terminal(Plain),
    /// Nowhere: standard output is the token's.
    Nowhere,
}

impl Output {
    fn begin(options: &Options) -> Result<Self, Exit> {
        if options.print_token {
            return Ok(Self::Nowhere);
        }
        let Some(place) = &options.output else {
            return Ok(if std::io::stdout().is_terminal() { Self::Terminal(Plain::default()) } else { Self::Standard });
        };
        let begun = WholeFile::begin(place);
        begun.map(Self::File).map_err(|error| Exit::failed(format!("{}: {error}", place.display())))
    }

    fn write_all(&mut self, piece: &[u8]) -> std::io::Result<()> {
        match self {
            Self::File(file) => file.write_all(piece),
            Self::Standard => std::io::stdout().write_all(piece),
            Self::Terminal(plain) => std::io::stdout().write_all(&plain.of(piece)),
            Self::Nowhere => Ok(()),
        }
    }

    fn keep(self) -> Result<(), Exit> {
        match self {
            Self::File(file) => file.keep().map_err(Exit::failed),
            Self::Standard | Self::Terminal(_) => std::io::stdout().flush().map_err(Exit::failed),
            Self::Nowhere => Ok(()),
        }
    }
}

/// Bytes as a terminal may show them: without what it would obey (C0 but tab and line ends, DEL, and C1 in UTF-8).
#[derive(Default)]
struct Plain {
    last: u8,
}

impl Plain {
    fn of(&mut self, piece: &[u8]) -> Vec<u8> {
        let one = |byte: &u8| {
            let is_c1 = self.last == 0xc2 && (0x80..0xa0).contains(byte);
            self.last = *byte;
            match byte {
                b'\t' | b'\n' | b'\r' => *byte,
                0..0x20 | 0x7f => b'?',
                // with the byte before it, a dot in the middle
                _ if is_c1 => 0xb7,
                _ => *byte,
            }
        };
        piece.iter().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_commands_no_terminal() {
        let mut plain = Plain::default();
        let shown = [&b"caf\xc3\xa9\t\x1b]0;owned\x07\r\n\xc2"[..], b"\x9b31m\x7f"].map(|piece| plain.of(piece)).concat();
        assert_eq!(String::from_utf8(shown).unwrap(), "café\t?]0;owned?\r\n·31m?");
    }
}
