//! The address at which a party listens, or in plain words why it cannot, with the setting that names it.

use crate::Exit;
use crate::serve::bind;
use std::io::{Error, ErrorKind};
use tokio::net::TcpListener;

/// Listens at the address of a setting.
pub async fn listen(key: &str, address: &str) -> Result<TcpListener, Exit> {
    bind(address, false).await.map_err(|error| Exit::failed(explain(key, address, &error)))
}

/// Why nobody can listen there, and what to do.
pub(crate) fn explain(key: &str, address: &str, error: &Error) -> String {
    let port = address.rsplit(':').next().unwrap_or_default();
    let why = match error.kind() {
        ErrorKind::AddrInUse => format!(
            "another program listens there, perhaps another wayleave (`ss -ltnp 'sport = :{port}'` says which): end it, or name another \
             port"
        ),
        ErrorKind::AddrNotAvailable => "this machine has no such address: name one of its own, or 0.0.0.0 for all".to_owned(),
        ErrorKind::PermissionDenied => {
            "this user may not listen there: name a port from 1024 up, and put a proxy before it".to_owned()
        }
        _ => error.to_string(),
    };
    format!("{key}: {address}: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_is_taken_is_said_with_its_setting() {
        let taken = bind("127.0.0.1:0", false).await.unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let Err(Exit::Failed(said)) = listen("server.listen", &address).await else { panic!("it is taken") };
        let port = address.rsplit(':').next().unwrap();
        for words in ["server.listen", address.as_str(), "another wayleave", &format!("sport = :{port}")] {
            assert!(said.contains(words), "{said}");
        }
        let Err(Exit::Failed(said)) = listen("gateway.listen", "192.0.2.1:9000").await else { panic!("it is nobody's") };
        assert!(said.contains("gateway.listen") && said.contains("no such address"), "{said}");
    }
}
