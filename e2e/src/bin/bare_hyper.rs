//! What `make bench` compares to: 204 from hyper alone, or from a bare axum handler, on one thread.
//! `bare_hyper hyper|axum ADDRESS:PORT` serves until it is ended. It must not do anything else for a
//! request.
#![expect(clippy::expect_used, reason = "a measurement whose parts fail ends, with the reason")]

use std::convert::Infallible;

use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, address] = arguments.as_slice() else {
        panic!("usage: bare_hyper hyper|axum ADDRESS:PORT")
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await.expect("a free port");
        match kind.as_str() {
            "hyper" => serve_hyper(listener).await,
            "axum" => serve_axum(listener).await,
            _ => panic!("{kind} is neither hyper nor axum"),
        }
    });
}

async fn serve_hyper(listener: TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        tokio::spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(no_content));
            let _ = connection.await;
        });
    }
}

async fn no_content(_: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let mut answer = Response::new(Empty::new());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    Ok(answer)
}

async fn serve_axum(listener: TcpListener) {
    let handler = axum::routing::get(|| async { StatusCode::NO_CONTENT });
    let app = axum::Router::new().route("/check/{dialect}/{namespace}/{policy}", handler);
    axum::serve(listener, app).await.expect("it serves until it is ended");
}
