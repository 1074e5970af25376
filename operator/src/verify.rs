//! `verify`: what `helm test` runs. Both ports of authsvc must answer through their Services, and
//! must refuse what no policy allows.
//!
//! It asks two addresses and nothing else: no API server, no token.

use std::time::Duration;

use clap::Args;
use http::{Request, StatusCode, Uri, header};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A Service with ready pods answers at once.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// Flags of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// Where authsvc's browser port is
    #[arg(long, value_name = "URL", default_value = "http://vestibule-browser:8080")]
    browser: Uri,
    /// Where authsvc's check port is
    #[arg(long, value_name = "URL", default_value = "http://vestibule-check:8081")]
    check: Uri,
}

/// Asks both ports; the text is for whoever reads the log.
///
/// # Errors
/// What is wrong with the installation, and where to look.
pub async fn verify(arguments: &VerifyArguments) -> Result<String, String> {
    let asked = [
        // A host that no policy has.
        ("--browser", &arguments.browser, "/bff/session", StatusCode::MISDIRECTED_REQUEST),
        // A policy that does not exist.
        ("--check", &arguments.check, "/check/traefik/none/none", StatusCode::SERVICE_UNAVAILABLE),
    ];
    for (flag, url, path, wanted) in asked {
        let answered = timeout(ANSWERS_WITHIN, ask(url, path))
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {ANSWERS_WITHIN:?}")))
            .map_err(|reason| {
                format!("{flag} {url}: {reason}: are authsvc's pods ready, and may this pod reach them (NetworkPolicy)?")
            })?;
        if answered != wanted {
            return Err(format!("{flag} {url}{path}: answered {answered}, not {wanted}"));
        }
    }
    Ok("both ports answer, and refuse what no policy allows".to_owned())
}

async fn ask(url: &Uri, path: &str) -> Result<StatusCode, String> {
    let authority = url.authority().ok_or("write http://HOST:PORT")?;
    let address = (authority.host(), authority.port_u16().unwrap_or(80));
    let socket = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket))
        .await
        .map_err(|error| error.to_string())?;
    let request = Request::get(path)
        .header(header::HOST, "vestibule-verify.invalid")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    tokio::select! {
        answer = sender.send_request(request) => {
            answer.map(|answer| answer.status()).map_err(|error| error.to_string())
        }
        ended = connection => Err(ended.err().map_or_else(
            || "the connection was closed".to_owned(),
            |error| error.to_string(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use tokio::net::TcpListener;

    use super::*;

    async fn answering(status: StatusCode) -> Uri {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(move || async move { status });
        tokio::spawn(async move { axum::serve(listener, router).await });
        url.parse().unwrap()
    }

    #[tokio::test]
    async fn both_ports_must_answer_and_refuse() {
        let refusing = answering(StatusCode::MISDIRECTED_REQUEST).await;
        let closed = answering(StatusCode::SERVICE_UNAVAILABLE).await;
        let open = answering(StatusCode::OK).await;
        let verify = async |browser: &Uri, check: &Uri| {
            verify(&VerifyArguments { browser: browser.clone(), check: check.clone() }).await
        };
        assert!(verify(&refusing, &closed).await.is_ok());
        let error = verify(&refusing, &open).await.unwrap_err();
        assert!(error.starts_with("--check ") && error.contains("answered 200"), "{error}");
        let error = verify(&open, &closed).await.unwrap_err();
        assert!(error.starts_with("--browser "), "{error}");
        let nobody = "http://127.0.0.1:1".parse().unwrap();
        let error = verify(&nobody, &closed).await.unwrap_err();
        assert!(error.contains("are authsvc's pods ready"), "{error}");
    }
}
