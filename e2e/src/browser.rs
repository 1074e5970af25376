//! A browser without a screen: cookies as RFC 6265bis has them, Fetch Metadata, redirects one at a
//! time. It treats loopback as secure, as browsers do, and must not be kinder than they are: a
//! cookie that a browser would refuse fails the test.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use url::{Host, Url};

use crate::http::{Request, Response};

/// A browser with its cookies.
#[derive(Clone, Debug, Default)]
pub struct Browser {
    cookies: Vec<Cookie>,
    resolved: BTreeMap<String, SocketAddr>,
    /// Every URL that it asked for, oldest first.
    pub history: Vec<String>,
    /// Headers it adds to every request, such as those of a proxy before the gateway.
    pub extra: Vec<(String, String)>,
    /// The URL and text of every answer so far: where secrets are looked for.
    pub bodies: Vec<(String, String)>,
}

/// A stored cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// The host that set it; the port does not count.
    pub host: String,
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// The path it is sent to.
    pub path: String,
    /// Whether it is `SameSite=Strict`.
    pub strict: bool,
    /// Whether scripts cannot read it.
    pub http_only: bool,
}

/// An answer and the URL that gave it.
#[derive(Clone, Debug)]
pub struct Page {
    /// The URL.
    pub url: Url,
    /// The answer.
    pub response: Response,
}

impl std::fmt::Display for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} -> {}", self.url, self.response)
    }
}

impl Page {
    /// Where it redirects to, if it does.
    #[must_use]
    pub fn redirect(&self) -> Option<Url> {
        let redirects = matches!(self.response.status, 301 | 302 | 303 | 307 | 308);
        let location = self.response.header("location").filter(|_| redirects)?;
        Some(self.url.join(location).unwrap_or_else(|error| panic!("{location}: {error}")))
    }

    /// The page's first form.
    #[must_use]
    pub fn form(&self) -> Option<Form> {
        let html = self.response.text();
        let form = &html[html.find("<form")?..];
        let form = &form[..form.find("</form").unwrap_or(form.len())];
        let tag = &form[..=form.find('>')?];
        let action = attribute(tag, "action").unwrap_or_default();
        let fields = form
            .split('<')
            .filter(|part| part.starts_with("input") || part.starts_with("button"))
            .filter_map(|part| {
                Some((attribute(part, "name")?, attribute(part, "value").unwrap_or_default()))
            })
            .collect();
        let method = attribute(tag, "method").unwrap_or_else(|| "get".to_owned());
        let action = self.url.join(&action).ok()?;
        Some(Form { method: method.to_ascii_uppercase(), action, fields })
    }
}

/// A form as a page has it.
#[derive(Clone, Debug)]
pub struct Form {
    /// `GET` or `POST`.
    pub method: String,
    /// The absolute URL it goes to.
    pub action: Url,
    /// Names and values it comes with.
    pub fields: Vec<(String, String)>,
}

/// The value of an attribute in a tag, unescaped.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let start = tag.find(&format!(" {name}=\""))? + name.len() + 3;
    let value = &tag[start..];
    let value = &value[..value.find('"')?];
    let named = [("&quot;", "\""), ("&#34;", "\""), ("&#38;", "&"), ("&lt;", "<"), ("&gt;", ">")];
    let value = named.iter().fold(value.to_owned(), |text, (from, to)| text.replace(from, to));
    Some(value.replace("&amp;", "&"))
}

/// Who caused a request, as Fetch Metadata and `SameSite` see it.
#[derive(Clone, Debug)]
enum Initiator {
    /// The user, in the address bar.
    User,
    /// A page.
    Page(Url),
}

impl Browser {
    /// Sends requests for an origin to this address, in plain HTTP.
    pub fn resolve(&mut self, origin: &str, address: SocketAddr) {
        self.resolved.insert(origin.to_owned(), address);
    }

    /// A navigation from the address bar: one request, no redirect followed.
    pub fn navigate(&mut self, url: &str) -> Page {
        self.load("GET", &parse(url), &Initiator::User, Vec::new())
    }

    /// A navigation from the address bar, to the end of its redirects.
    pub fn open(&mut self, url: &str) -> Page {
        let page = self.navigate(url);
        self.follow(page, &Initiator::User)
    }

    /// A navigation by a link on the page `from`, to the end of its redirects.
    pub fn click(&mut self, from: &str, url: &str) -> Page {
        let initiator = Initiator::Page(parse(from));
        let page = self.load("GET", &parse(url), &initiator, Vec::new());
        self.follow(page, &initiator)
    }

    /// Follows redirects to their end.
    fn follow(&mut self, mut page: Page, initiator: &Initiator) -> Page {
        for _ in 0..20 {
            let Some(next) = page.redirect() else { return page };
            page = self.load("GET", &next, initiator, Vec::new());
        }
        panic!("redirected for ever: {:#?}", &self.history[self.history.len() - 20..]);
    }

    /// Submits the first form of a page with these fields set, to the end of the redirects.
    pub fn submit(&mut self, page: &Page, set: &[(&str, &str)]) -> Page {
        let Form { method, mut action, mut fields } =
            page.form().unwrap_or_else(|| panic!("no form on {page}"));
        for (name, value) in set {
            fields.retain(|(known, _)| known != name);
            fields.push(((*name).to_owned(), (*value).to_owned()));
        }
        let body =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let initiator = Initiator::Page(page.url.clone());
        let next = if method == "POST" {
            self.load("POST", &action, &initiator, body.into_bytes())
        } else {
            action.set_query(Some(&body));
            self.load("GET", &action, &initiator, Vec::new())
        };
        self.follow(next, &initiator)
    }

    /// Asks for `url`, logs in as `user` at the provider's form, and returns where that ends.
    pub fn log_in(&mut self, url: &str, user: &str) -> Page {
        let form = self.open(url);
        assert!(form.url.path().starts_with("/interaction/"), "not the provider's form: {form}");
        self.submit(&form, &[("login", user), ("password", "any")])
    }

    /// What a script of the page at `origin` gets from `fetch(url)`.
    pub fn fetch(&mut self, origin: &str, url: &str) -> Response {
        let request = self.script_request("GET", origin, url);
        self.send(&parse(url), &request)
    }

    /// A request as a script of the page at `origin` sends it, to be changed and then sent.
    #[must_use]
    pub fn script_request(&self, method: &str, origin: &str, url: &str) -> Request {
        let url = parse(url);
        let from = parse(origin);
        let mut request = self
            .prepare(method, &url, &Initiator::Page(from.clone()))
            .header("Accept", "*/*")
            .header("Sec-Fetch-Site", fetch_site(&Initiator::Page(from.clone()), &url))
            .header("Sec-Fetch-Mode", "cors")
            .header("Sec-Fetch-Dest", "empty");
        if !matches!(method, "GET" | "HEAD") || from.origin() != url.origin() {
            request = request.header("Origin", from.origin().ascii_serialization());
        }
        request
    }

    /// Sends a request as it is, keeps its cookies, follows nothing.
    pub fn send(&mut self, url: &Url, request: &Request) -> Response {
        self.history.push(url.to_string());
        let response = request.send(self.address(url));
        self.store(url, &response);
        self.bodies.push((url.to_string(), response.text()));
        response
    }

    /// The cookies of a host.
    #[must_use]
    pub fn cookies(&self, host: &str) -> Vec<&Cookie> {
        self.cookies.iter().filter(|cookie| cookie.host == host).collect()
    }

    /// The value of a cookie of any host.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let cookie = self.cookies.iter().find(|cookie| cookie.name == name)?;
        Some(&cookie.value)
    }

    /// Plants a cookie, as another app on the host or an attacker would.
    pub fn set_cookie(&mut self, host: &str, name: &str, value: &str) {
        self.cookies.retain(|cookie| (cookie.host.as_str(), cookie.name.as_str()) != (host, name));
        self.cookies.push(Cookie {
            host: host.to_owned(),
            name: name.to_owned(),
            value: value.to_owned(),
            path: "/".to_owned(),
            strict: false,
            http_only: true,
        });
    }

    fn load(&mut self, method: &str, url: &Url, initiator: &Initiator, body: Vec<u8>) -> Page {
        let mut request = self
            .prepare(method, url, initiator)
            .header("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
            .header("Upgrade-Insecure-Requests", "1")
            .header("Sec-Fetch-Site", fetch_site(initiator, url))
            .header("Sec-Fetch-Mode", "navigate")
            .header("Sec-Fetch-User", "?1")
            .header("Sec-Fetch-Dest", "document");
        if let (Initiator::Page(from), "POST") = (initiator, method) {
            request = request.header("Origin", from.origin().ascii_serialization());
        }
        if !body.is_empty() {
            request = request.form(body);
        }
        let response = self.send(url, &request);
        Page { url: url.clone(), response }
    }

    fn prepare(&self, method: &str, url: &Url, initiator: &Initiator) -> Request {
        let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let mut request = Request::new(method, target, &host_header(url)).header(
            "User-Agent",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156",
        );
        let cookies = self.cookies_for(url, initiator, method);
        if !cookies.is_empty() {
            request = request.header("Cookie", cookies);
        }
        for (name, value) in &self.extra {
            request = request.header(name, value);
        }
        request
    }

    fn cookies_for(&self, url: &Url, initiator: &Initiator, method: &str) -> String {
        let host = url.host_str().unwrap_or_default();
        let cross_site =
            matches!(initiator, Initiator::Page(from) if from.host_str() != url.host_str());
        let sent: Vec<_> = self
            .cookies
            .iter()
            .filter(|cookie| cookie.host == host && path_matches(url.path(), &cookie.path))
            .filter(|cookie| !cross_site || (!cookie.strict && method == "GET"))
            .map(|cookie| format!("{}={}", cookie.name, cookie.value))
            .collect();
        sent.join("; ")
    }

    /// Takes `Set-Cookie` as RFC 6265bis section 5.6 says.
    fn store(&mut self, url: &Url, response: &Response) {
        let host = url.host_str().unwrap_or_default();
        for line in response.headers_named("set-cookie") {
            let mut parts = line.split(';');
            let (name, value) =
                parts.next().and_then(|pair| pair.split_once('=')).unwrap_or_default();
            let attributes: BTreeMap<String, String> = parts
                .map(|part| {
                    let (key, value) = part.split_once('=').unwrap_or((part, ""));
                    (key.trim().to_ascii_lowercase(), value.trim().to_owned())
                })
                .collect();
            let given = |key: &str| attributes.get(key).map(String::as_str);
            let name = name.trim();
            if name.to_ascii_lowercase().starts_with("__host-") {
                assert!(
                    given("secure").is_some()
                        && given("path") == Some("/")
                        && given("domain").is_none(),
                    "a browser refuses this cookie of {url}: {line}"
                );
            }
            let default_path = url.path().rfind('/').map_or("/", |at| &url.path()[..at.max(1)]);
            let path = given("path").filter(|path| path.starts_with('/')).unwrap_or(default_path);
            self.cookies.retain(|old| {
                (old.host.as_str(), old.name.as_str(), old.path.as_str()) != (host, name, path)
            });
            let expires = given("expires").is_some_and(|date| date.contains("1970"));
            let max_age = given("max-age").and_then(|seconds| seconds.parse::<i64>().ok());
            if expires || max_age.is_some_and(|seconds| seconds <= 0) {
                continue;
            }
            self.cookies.push(Cookie {
                host: host.to_owned(),
                name: name.to_owned(),
                value: value.trim().to_owned(),
                path: path.to_owned(),
                strict: given("samesite").is_some_and(|s| s.eq_ignore_ascii_case("strict")),
                http_only: given("httponly").is_some(),
            });
        }
    }

    fn address(&self, url: &Url) -> SocketAddr {
        if let Some(address) = self.resolved.get(&url.origin().ascii_serialization()) {
            return *address;
        }
        assert_eq!(url.scheme(), "http", "this browser does not reach {url}");
        let port = url.port().unwrap_or(80);
        match url.host() {
            Some(Host::Ipv4(address)) => SocketAddr::from((address, port)),
            Some(Host::Domain("localhost")) => SocketAddr::from(([127, 0, 0, 1], port)),
            _ => panic!("this browser does not reach {url}"),
        }
    }
}

/// Parses an absolute URL.
#[must_use]
pub fn parse(url: &str) -> Url {
    Url::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"))
}

fn host_header(url: &Url) -> String {
    url[url::Position::BeforeHost..url::Position::AfterPort].to_owned()
}

fn path_matches(path: &str, cookie: &str) -> bool {
    path == cookie
        || path
            .strip_prefix(cookie)
            .is_some_and(|rest| cookie.ends_with('/') || rest.starts_with('/'))
}

fn fetch_site(initiator: &Initiator, url: &Url) -> &'static str {
    match initiator {
        Initiator::User => "none",
        Initiator::Page(from) if from.origin() == url.origin() => "same-origin",
        Initiator::Page(from) if from.host() == url.host() => "same-site",
        Initiator::Page(_) => "cross-site",
    }
}
