//! What is to be enforced, from the files as they are and from what was good before.
//!
//! Pure, so that every case has a test without a disk. A file with a problem is not taken over: the
//! objects that it held when it was last good stay, and an object that was never good is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use secrecy::SecretString;
use vestibule_crds::v1alpha1::{BffPolicySpec, BffProviderSpec, SecretKeyRef};
use vestibule_policy::compile::{Input, compile};
use vestibule_policy::error::FieldError;
use vestibule_policy::model::{CompiledPolicy, PolicyId};

use super::claims::{self, Form};
use super::document_lines::{self, Lines};
use super::documents::{self, Document, Draft, Kind, ObjectId, Spec};
use super::problem::Problem;
use super::{standalone, typed};
use crate::policies::PolicyEntry;

/// The folder as it was read.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Each file's text, or why it could not be read, by its path relative to the folder.
    pub files: BTreeMap<String, Result<String, String>>,
    /// Folders that could not be read, relative, empty for the folder itself, and why.
    pub unreadable: BTreeMap<String, String>,
}

/// Looks up a key of a Secret in a namespace; the error says what is missing where.
pub type Secrets<'a> = &'a dyn Fn(&str, &SecretKeyRef) -> Result<SecretString, String>;

/// What compiling needs besides the files.
pub struct Options<'a> {
    /// Looks up secrets.
    pub secrets: Secrets<'a>,
    /// Whether secrets stand for keys of any kind, because there is no folder of them to check.
    pub secrets_assumed: bool,
    /// Whether `http` is accepted beyond loopback.
    pub allow_insecure: bool,
}

/// What was good, for the next time.
#[derive(Clone, Default)]
pub struct State {
    files: BTreeMap<String, FileState>,
    providers: BTreeMap<ObjectId, Arc<Document>>,
    accepted: BTreeMap<PolicyId, Arc<CompiledPolicy>>,
}

#[derive(Clone)]
struct FileState {
    /// Hash of the text that `documents` and `problems` came from; texts would fill the memory.
    seen: Vec<u8>,
    documents: Vec<Arc<Document>>,
    broken: Vec<ObjectId>,
    /// What a file that is not taken over says: judged, so that every problem is told at once.
    drafts: Vec<Arc<Draft>>,
    problems: Vec<Problem>,
}

/// What is to be enforced now.
pub struct Plan {
    /// For the next plan.
    pub state: State,
    /// Every policy that is known, sorted.
    pub entries: Vec<PolicyEntry>,
    /// Everything that is wrong, sorted by place.
    pub problems: Vec<Problem>,
}

impl Plan {
    /// How many policies and how many providers are known.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        (self.entries.len(), self.state.providers.len())
    }
}

/// Plans.
#[must_use]
pub fn plan(previous: &State, listing: &Listing, options: &Options<'_>) -> Plan {
    let mut planner = Planner { previous, listing, options, problems: Vec::new() };
    let files = planner.adopt();
    let (objects, broken) = planner.index(&files);
    let providers = planner.providers(&objects, &broken);
    let drafts = drafts(&files);
    let mut forms = BTreeMap::new();
    for id in broken.iter().filter(|id| id.kind == Kind::Policy) {
        forms.insert(policy_id(id), planner.fallback(&policy_id(id)));
    }
    for (id, (file, document)) in &objects {
        if let Spec::Policy(spec) = &document.spec {
            let id = policy_id(id);
            let form = match planner.compile(&id, spec, &providers) {
                Ok(policy) => Form::New(Box::new(policy)),
                Err(errors) => {
                    planner.tell(errors, file, document, &drafts);
                    planner.fallback(&id)
                }
            };
            forms.insert(id, form);
        }
    }
    planner.judge(&drafts, &providers);
    planner.settle(&mut forms, &objects);
    let (entries, accepted) = planner.entries(forms);
    let mut problems = planner.problems;
    problems.sort();
    problems.dedup();
    Plan { state: State { files, providers, accepted }, entries, problems }
}

type Objects = BTreeMap<ObjectId, (String, Arc<Document>)>;
type Drafts = BTreeMap<ObjectId, (String, Arc<Draft>)>;

/// The field that a provider which is not there is noted at.
const PROVIDER_NAME: &str = "spec.providerRef.name";

struct Planner<'a> {
    previous: &'a State,
    listing: &'a Listing,
    options: &'a Options<'a>,
    problems: Vec<Problem>,
}

impl Planner<'_> {
    /// Each file as it counts: new where it has no problem, else as it was.
    fn adopt(&mut self) -> BTreeMap<String, FileState> {
        let mut files = BTreeMap::new();
        for (folder, why) in &self.listing.unreadable {
            let place = if folder.is_empty() { "the policies folder" } else { folder };
            self.problems.push(Problem {
                file: String::new(),
                line: 0,
                object: None,
                field: None,
                message: format!("{place} cannot be read ({why}): what it held stays"),
            });
            let below = |file: &str| folder.is_empty() || file.starts_with(&format!("{folder}/"));
            for (file, state) in self.previous.files.iter().filter(|(file, _)| below(file)) {
                files.insert(file.clone(), state.clone());
            }
        }
        for (file, text) in &self.listing.files {
            let before = self.previous.files.get(file);
            let state = match text {
                Ok(text) => read_file(file, text, before),
                Err(why) => unreadable_file(file, why, before),
            };
            self.problems.extend(state.problems.iter().cloned());
            files.insert(file.clone(), state);
        }
        files
    }

    /// All objects by name, and those that are not to be used: the broken and the ambiguous.
    fn index(&mut self, files: &BTreeMap<String, FileState>) -> (Objects, BTreeSet<ObjectId>) {
        let mut objects = Objects::new();
        let mut ambiguous = BTreeSet::new();
        for (file, state) in files {
            for document in &state.documents {
                let id = document.id.clone();
                let Some((other, first)) =
                    objects.insert(id.clone(), (file.clone(), Arc::clone(document)))
                else {
                    continue;
                };
                self.problems.push(Problem {
                    file: file.clone(),
                    line: document.line,
                    object: Some(id.to_string()),
                    field: Some("metadata.name".to_owned()),
                    message: format!(
                        "is also in {other}:{}: remove one of the two, neither is used",
                        first.line
                    ),
                });
                ambiguous.insert(id);
            }
        }
        objects.retain(|id, _| !ambiguous.contains(id));
        // A broken document only counts where no good one has the name.
        let broken = files.values().flat_map(|state| state.broken.iter().cloned());
        let unusable =
            ambiguous.into_iter().chain(broken.filter(|id| !objects.contains_key(id))).collect();
        (objects, unusable)
    }

    /// The providers to use: where one is broken, as it was last good.
    fn providers(
        &self,
        objects: &Objects,
        broken: &BTreeSet<ObjectId>,
    ) -> BTreeMap<ObjectId, Arc<Document>> {
        let good = objects.iter().map(|(id, (_, document))| (id, document));
        let kept = broken.iter().filter_map(|id| Some((id, self.previous.providers.get(id)?)));
        good.chain(kept)
            .filter(|(id, _)| id.kind == Kind::Provider)
            .map(|(id, document)| (id.clone(), Arc::clone(document)))
            .collect()
    }

    fn fallback(&self, id: &PolicyId) -> Form {
        if self.previous.accepted.contains_key(id) { Form::Kept } else { Form::Refused }
    }

    fn compile(
        &self,
        id: &PolicyId,
        spec: &BffPolicySpec,
        providers: &BTreeMap<ObjectId, Arc<Document>>,
    ) -> Result<CompiledPolicy, Vec<FieldError>> {
        let mut adjusted;
        let mut spec = spec;
        if self.options.secrets_assumed {
            // An assumed key is an elliptic one; the author's choice of RSA is not wrong.
            adjusted = spec.clone();
            if let Some(jwt) = &mut adjusted.client.private_key_jwt {
                jwt.algorithm.take_if(|name| matches!(name.as_str(), "RS256" | "PS256"));
            }
            spec = &adjusted;
        }
        let provider =
            providers.get(&provider_id(id, spec)).and_then(|document| provider_spec(document));
        let secrets = |reference: &SecretKeyRef| (self.options.secrets)(&id.namespace, reference);
        let compiled = compile(&Input {
            id: id.clone(),
            uid: id.to_string(),
            spec,
            provider,
            secrets: &secrets,
            allow_insecure: self.options.allow_insecure,
        });
        standalone::judge(spec, compiled)
    }

    /// Notes what is wrong with a policy, unless it is a draft's turn to say so, or its provider is
    /// there and only broken: that is noted already.
    fn tell(&mut self, errors: Vec<FieldError>, file: &str, document: &Document, drafts: &Drafts) {
        let Spec::Policy(spec) = &document.spec else { return };
        let id = policy_id(&document.id);
        if drafts.get(&document.id).is_some_and(|(newer, _)| newer == file) {
            return;
        }
        let known = drafts.contains_key(&provider_id(&id, spec));
        let told = errors.into_iter().filter(|error| !(known && error.field == PROVIDER_NAME));
        self.note(told, file, document);
    }

    fn note(&mut self, errors: impl Iterator<Item = FieldError>, file: &str, document: &Document) {
        let lines = self.lines(file, document);
        self.problems.extend(errors.map(|error| Problem {
            file: file.to_owned(),
            line: lines.of(&error.field),
            object: Some(document.id.to_string()),
            field: Some(error.field),
            message: error.message,
        }));
    }

    /// Notes what else is wrong in files that are not taken over. Nothing of it is used.
    fn judge(&mut self, drafts: &Drafts, providers: &BTreeMap<ObjectId, Arc<Document>>) {
        for (id, (file, draft)) in drafts {
            let Spec::Policy(spec) = &draft.document.spec else { continue };
            let Err(errors) = self.compile(&policy_id(id), spec, providers) else { continue };
            let provider = drafts.contains_key(&provider_id(&policy_id(id), spec));
            let told = errors.into_iter().filter(|error| {
                let about_a_filler = draft.repaired.iter().any(|filler| {
                    typed::is_within(&error.field, filler) || typed::is_within(filler, &error.field)
                });
                !(about_a_filler || provider && error.field == PROVIDER_NAME)
            });
            self.note(told, file, &draft.document);
        }
    }

    fn settle(&mut self, forms: &mut BTreeMap<PolicyId, Form>, objects: &Objects) {
        for conflict in claims::settle(forms, &self.previous.accepted) {
            let place = |id: &PolicyId| {
                objects.get(&ObjectId {
                    kind: Kind::Policy,
                    namespace: id.namespace.clone(),
                    name: id.name.clone(),
                })
            };
            let winner = match place(&conflict.winner) {
                Some((file, document)) => {
                    format!("{} ({file}:{})", conflict.winner, document.line)
                }
                None => conflict.winner.to_string(),
            };
            let field = format!("spec.origins[{}]", conflict.origin);
            let (file, line) = place(&conflict.loser)
                .map_or((String::new(), 0), |(file, found)| {
                    (file.clone(), self.lines(file, found).of(&field))
                });
            self.problems.push(Problem {
                file,
                line,
                object: Some(conflict.loser.to_string()),
                field: Some(field),
                message: format!(
                    "{} belongs to policy {winner} already: remove it from one of the two",
                    conflict.text
                ),
            });
        }
    }

    fn entries(
        &self,
        forms: BTreeMap<PolicyId, Form>,
    ) -> (Vec<PolicyEntry>, BTreeMap<PolicyId, Arc<CompiledPolicy>>) {
        let mut entries = Vec::with_capacity(forms.len());
        let mut accepted = BTreeMap::new();
        for (id, form) in forms {
            let before = self.previous.accepted.get(&id);
            let policy = match form {
                // Whoever installs sees by the pointer that nothing changed.
                Form::New(policy) => Some(
                    before.filter(|before| ***before == *policy).cloned().unwrap_or(policy.into()),
                ),
                Form::Kept => before.cloned(),
                Form::Refused => None,
            };
            match policy {
                Some(policy) => {
                    entries.push(PolicyEntry::accepted(Arc::clone(&policy)));
                    accepted.insert(id, policy);
                }
                None => entries.push(PolicyEntry::refused(id)),
            }
        }
        (entries, accepted)
    }

    /// The lines of a document, if the file's text of now is the one it came from.
    fn lines(&self, file: &str, document: &Document) -> Lines {
        let text = self.listing.files.get(file).and_then(|text| text.as_ref().ok());
        text.and_then(|text| {
            document_lines::documents(text).into_iter().find(|lines| lines.start() == document.line)
        })
        .unwrap_or_else(|| Lines::starting_at(document.line))
    }
}

fn read_file(file: &str, text: &str, before: Option<&FileState>) -> FileState {
    let seen = digest(&SHA256, text.as_bytes()).as_ref().to_vec();
    if let Some(same) = before.filter(|before| before.seen == seen) {
        return same.clone();
    }
    let parsed = documents::parse(file, text);
    let documents = match before {
        // Taken over as a whole or not at all.
        Some(before) if !parsed.problems.is_empty() => before.documents.clone(),
        _ => parsed.documents.iter().cloned().map(Arc::new).collect(),
    };
    let mut drafts = parsed.drafts;
    if before.is_some() && !parsed.problems.is_empty() {
        let good = parsed.documents.iter().cloned();
        drafts.extend(good.map(|document| Draft { document, repaired: Vec::new() }));
    }
    let mut broken = parsed.broken;
    if !parsed.problems.is_empty() {
        // Good documents of a file that is not taken over are known, but not used.
        broken.extend(parsed.documents.into_iter().map(|document| document.id));
        // What was broken before may not be readable at all now; it stays refused.
        broken.extend(before.iter().flat_map(|before| before.broken.iter().cloned()));
    }
    broken.sort();
    broken.dedup();
    let drafts = drafts.into_iter().map(Arc::new).collect();
    FileState { seen, documents, broken, drafts, problems: parsed.problems }
}

fn unreadable_file(file: &str, why: &str, before: Option<&FileState>) -> FileState {
    FileState {
        seen: Vec::new(),
        documents: before.map(|before| before.documents.clone()).unwrap_or_default(),
        broken: before.map(|before| before.broken.clone()).unwrap_or_default(),
        drafts: Vec::new(),
        problems: vec![Problem {
            file: file.to_owned(),
            line: 0,
            object: None,
            field: None,
            message: why.to_owned(),
        }],
    }
}

fn drafts(files: &BTreeMap<String, FileState>) -> Drafts {
    let of_file = |(file, state): (&String, &FileState)| {
        let place =
            |draft: &Arc<Draft>| (draft.document.id.clone(), (file.clone(), Arc::clone(draft)));
        state.drafts.iter().map(place).collect::<Vec<_>>()
    };
    files.iter().flat_map(of_file).collect()
}

fn policy_id(id: &ObjectId) -> PolicyId {
    PolicyId { namespace: id.namespace.clone(), name: id.name.clone() }
}

fn provider_id(policy: &PolicyId, spec: &BffPolicySpec) -> ObjectId {
    ObjectId {
        kind: Kind::Provider,
        namespace: policy.namespace.clone(),
        name: spec.provider_ref.name.clone(),
    }
}

fn provider_spec(document: &Document) -> Option<&BffProviderSpec> {
    match &document.spec {
        Spec::Provider(spec) => Some(spec),
        Spec::Policy(_) => None,
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
