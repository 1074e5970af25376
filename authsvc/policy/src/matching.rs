//! Which rule of a policy a request falls under.
//!
//! Of the rules whose path covers the request the most specific one that covers its method wins:
//! a longer prefix before a shorter one, `Exact` before `Prefix` of the same path, a rule that
//! names the method before one for all methods. A rule for `GET` covers `HEAD` too, unless a rule of
//! the same path names `HEAD`. Methods are compared as they are sent: they are case-sensitive
//! (RFC 9110, section 9.1).
//!
//! Only canonical paths are compared (see [`crate::path`]); a query never takes part.

use serde::{Deserialize, Serialize};

use crate::path::{PathError, Target};

/// What a rule matches by. Its place in the list it came from is its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteKey {
    /// The path, canonical ([`crate::path::CanonicalPath::as_str`]).
    pub path: String,
    /// Whether only the path itself matches, or all below it too.
    pub exact: bool,
    /// The methods, or none for all of them.
    pub methods: Vec<String>,
}

/// The rules as a tree of path segments: a look-up costs one step per segment of the request that
/// some rule knows, however many rules there are, and allocates nothing. Ten thousand policies have one
/// each: it takes no more memory than what it says.
#[derive(Clone, Debug)]
pub struct RouteTable {
    nodes: Box<[Node]>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    /// In the order of [`Node::place`].
    children: Box<[(Box<str>, usize)]>,
    exact: Rules,
    prefix: Rules,
}

#[derive(Clone, Debug, Default)]
struct Rules {
    by_method: Box<[(Box<str>, usize)]>,
    all_methods: Option<usize>,
}

impl Node {
    /// Where a segment's child is, or would be. Lengths come first: they tell most apart at once.
    fn place(&self, segment: &str) -> Result<usize, usize> {
        self.children.binary_search_by(|(name, _)| {
            let by_length = name.len().cmp(&segment.len());
            by_length.then_with(|| name.as_bytes().cmp(segment.as_bytes()))
        })
    }

    fn child(&self, segment: &str) -> Option<usize> {
        Some(self.children[self.place(segment).ok()?].1)
    }
}

impl Rules {
    fn add(&mut self, methods: &[String], index: usize) {
        if methods.is_empty() {
            self.all_methods.get_or_insert(index);
        }
        let named = methods.iter().map(|method| (method.as_str().into(), index));
        self.by_method = std::mem::take(&mut self.by_method).into_iter().chain(named).collect();
    }

    /// A rule for GET covers HEAD too, unless HEAD has a rule of its own: they ask for the same
    /// (RFC 9110, section 9.3.2), so HEAD must not fall to a weaker rule.
    fn find(&self, method: &str) -> Option<usize> {
        let named = |method: &str| {
            self.by_method.iter().find(|(name, _)| &**name == method).map(|&(_, index)| index)
        };
        named(method)
            .or_else(|| (method == "HEAD").then(|| named("GET")).flatten())
            .or(self.all_methods)
    }
}

impl RouteTable {
    /// Builds the table; a rule is known by its index in `keys`. Of conflicting rules, see
    /// [`conflicts`], the first wins.
    #[must_use]
    pub fn new(keys: &[RouteKey]) -> Self {
        let mut nodes = vec![Node::default()];
        for (index, key) in keys.iter().enumerate() {
            let mut at = 0;
            for segment in segments(comparable(key)) {
                at = match nodes[at].place(segment) {
                    Ok(place) => nodes[at].children[place].1,
                    Err(place) => {
                        let next = nodes.len();
                        let mut children = std::mem::take(&mut nodes[at].children).into_vec();
                        children.insert(place, (segment.into(), next));
                        nodes[at].children = children.into();
                        nodes.push(Node::default());
                        next
                    }
                };
            }
            let node = &mut nodes[at];
            let rules = if key.exact { &mut node.exact } else { &mut node.prefix };
            rules.add(&key.methods, index);
        }
        Self { nodes: nodes.into() }
    }

    /// The index of the rule that a request falls under; `None` where no rule covers it. `path` is
    /// canonical, without a query.
    #[must_use]
    pub fn find(&self, method: &str, path: &str) -> Option<usize> {
        let mut node = &self.nodes[0];
        let mut best = node.prefix.find(method);
        for segment in segments(path) {
            let Some(child) = node.child(segment) else {
                return best;
            };
            node = &self.nodes[child];
            best = node.prefix.find(method).or(best);
        }
        node.exact.find(method).or(best)
    }

    /// As [`RouteTable::find`], for a request that may use an admitted encoding: both its spelled
    /// and its decoded path must fall under the same rule, since nobody knows which of them the
    /// app will act on.
    ///
    /// # Errors
    /// [`PathError::Ambiguous`] where they do not.
    pub fn find_for(&self, method: &str, target: &Target<'_>) -> Result<Option<usize>, PathError> {
        let found = self.find(method, target.path.as_str());
        match &target.decoded {
            Some(decoded) if self.find(method, decoded.as_str()) != found => {
                Err(PathError::Ambiguous)
            }
            _ => Ok(found),
        }
    }
}

/// The rules, by their indexes, that no request could choose between: the same path and type, and
/// a method that both name, or both for all methods.
#[must_use]
pub fn conflicts(keys: &[RouteKey]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (second, b) in keys.iter().enumerate() {
        for (first, a) in keys[..second].iter().enumerate() {
            let overlap = if a.methods.is_empty() || b.methods.is_empty() {
                a.methods.is_empty() && b.methods.is_empty()
            } else {
                a.methods.iter().any(|method| b.methods.contains(method))
            };
            if a.exact == b.exact && overlap && comparable(a) == comparable(b) {
                found.push((first, second));
            }
        }
    }
    found
}

/// A prefix ends on a segment border with or without its trailing slash; an exact path does not.
fn comparable(key: &RouteKey) -> &str {
    if key.exact { &key.path } else { key.path.strip_suffix('/').unwrap_or(&key.path) }
}

/// `/a/b` is `a`, `b`; `/a/` is `a` and an empty segment; the empty text has none.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    let mut rest = path.strip_prefix('/');
    std::iter::from_fn(move || {
        let text = rest?;
        // Segments are short: a search that looks at several bytes at a time costs more.
        let slash = text.bytes().position(|byte| byte == b'/');
        rest = slash.map(|at| &text[at + 1..]);
        Some(slash.map_or(text, |at| &text[..at]))
    })
}
