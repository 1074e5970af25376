//! The port of browsers: its router, with a gate before it.
//!
//! It must not decide anything: what is let in is for the router, and how many for `overload`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use http::{Method, Request};
use hyper::body::Incoming;

use super::connection::Handler;
use crate::app::App;
use crate::overload::{BROWSER_REFUSED, Overload};

/// What answers browsers. Cheap to clone.
#[derive(Clone)]
pub(super) struct BrowserPort {
    app: Arc<App>,
    router: Router,
}

impl BrowserPort {
    /// Answers as the router does, where there is time for it.
    pub(super) fn new(app: Arc<App>, router: Router) -> Self {
        Self { app, router }
    }
}

impl Handler for BrowserPort {
    async fn answer(&self, request: Request<Incoming>) -> Response {
        // What ends a session is a POST.
        if self.app.overload.admits_browser(request.method() == Method::POST) {
            Handler::answer(&self.router, request).await
        } else {
            Overload::refuse_browser()
        }
    }

    fn is_full(&self) -> bool {
        self.app.overload.is_full_for_browsers()
    }

    fn refusal(&self, request: &[u8]) -> Option<&'static [u8]> {
        request.starts_with(b"GET ").then_some(BROWSER_REFUSED)
    }

    fn refused(&self, took: Duration) {
        self.app.overload.refused_browser(took);
    }

    fn connected(&self, connections: usize) {
        self.app.overload.connected_browsers(connections);
    }
}
