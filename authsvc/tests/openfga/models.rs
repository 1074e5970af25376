//! Random authorization models with random tuples, and what they mean, evaluated as it is defined rather
//! than as OpenFGA does it.
//!
//! Documents and folders have relations `r0`, `r1` …, each made of direct ones, of other relations of the
//! same object and of relations of its parent folders, joined by union, intersection and exclusion. Groups
//! have members, who may be those of other groups. There is no cycle in any of it.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::server::Tuple;

const RELATIONS: usize = 4;
const USERS: usize = 5;
const GROUPS: usize = 3;
const OBJECTS: usize = 3;
const TYPES: [&str; 2] = ["folder", "document"];

/// How a relation is defined.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Rewrite {
    /// By tuples.
    Direct,
    /// Who has that relation to the same object.
    Computed(usize),
    /// Who has that relation to a parent of the object.
    FromParent(usize),
    Any(Vec<Rewrite>),
    All(Vec<Rewrite>),
    Without(Box<Rewrite>, Box<Rewrite>),
}

/// Whom a tuple names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    User(usize),
    Everyone,
    MembersOf(usize),
}

/// What the tuples of a relation may name: single users, everyone, members of groups.
type Allowed = [bool; 3];

#[derive(Clone, Debug)]
struct Relation {
    rewrite: Rewrite,
    allowed: Allowed,
}

/// An object by its type and number.
type Object = (usize, usize);

/// A model and its tuples.
#[derive(Debug)]
pub struct Case {
    /// By type.
    relations: [Vec<Relation>; 2],
    /// Relation, object and subject.
    direct: BTreeSet<(usize, Object, Subject)>,
    /// Object and the folder that it is in.
    parents: BTreeSet<(Object, usize)>,
    /// Group and member.
    members: BTreeSet<(usize, Subject)>,
    random: Random,
}

/// One question.
#[derive(Clone, Debug)]
pub struct Asked {
    pub user: String,
    pub relation: String,
    pub object_type: &'static str,
    pub object_id: String,
}

impl Case {
    /// The case of a seed.
    pub fn random(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5eed);
        let relations = [0, 1].map(|kind| {
            (0..RELATIONS).map(|index| Relation::random(&mut random, kind, index)).collect()
        });
        let mut case = Self {
            relations,
            direct: BTreeSet::new(),
            parents: BTreeSet::new(),
            members: BTreeSet::new(),
            random: Random(random.next()),
        };
        case.fill(&mut random);
        case
    }

    fn fill(&mut self, random: &mut Random) {
        for group in 0..GROUPS {
            for _ in 0..random.below(3) {
                self.members.insert((group, Subject::User(random.below(USERS))));
            }
            if group > 0 && random.chance(50) {
                self.members.insert((group, Subject::MembersOf(random.below(group))));
            }
        }
        for (kind, number) in objects() {
            // A folder is in one of a lower number, so that there is no circle.
            let folders = if kind == 0 { number } else { OBJECTS };
            if folders > 0 && random.chance(70) {
                self.parents.insert(((kind, number), random.below(folders)));
            }
            for index in 0..RELATIONS {
                let Relation { rewrite, allowed } = &self.relations[kind][index];
                if !rewrite.has_direct() {
                    continue;
                }
                for _ in 0..random.below(3) {
                    let subject = Subject::random(random, *allowed);
                    self.direct.insert((index, (kind, number), subject));
                }
            }
        }
    }

    /// The model as OpenFGA takes it.
    pub fn model(&self) -> Value {
        let only = |types: Value| json!({"directly_related_user_types": types});
        let members = only(json!([{"type": "user"}, {"type": "group", "relation": "member"}]));
        let mut definitions = vec![
            json!({"type": "user"}),
            json!({
                "type": "group",
                "relations": {"member": {"this": {}}},
                "metadata": {"relations": {"member": members}},
            }),
        ];
        for (name, relations) in TYPES.into_iter().zip(&self.relations) {
            let (mut rewrites, mut metadata) = (Map::new(), Map::new());
            rewrites.insert("parent".to_owned(), json!({"this": {}}));
            metadata.insert("parent".to_owned(), only(json!([{"type": "folder"}])));
            for (index, Relation { rewrite, allowed }) in relations.iter().enumerate() {
                rewrites.insert(format!("r{index}"), rewrite.json());
                if rewrite.has_direct() {
                    metadata.insert(format!("r{index}"), only(types(*allowed)));
                }
            }
            let metadata = json!({"relations": metadata});
            definitions.push(json!({"type": name, "relations": rewrites, "metadata": metadata}));
        }
        json!({"schema_version": "1.1", "type_definitions": definitions})
    }

    /// The tuples as OpenFGA takes them.
    pub fn tuples(&self) -> Vec<Tuple> {
        let member = |(group, subject): &(usize, Subject)| Tuple {
            user: subject.text(),
            relation: "member".to_owned(),
            object: format!("group:g{group}"),
        };
        let parent = |(object, folder): &(Object, usize)| Tuple {
            user: text((0, *folder)),
            relation: "parent".to_owned(),
            object: text(*object),
        };
        let direct = |(index, object, subject): &(usize, Object, Subject)| Tuple {
            user: subject.text(),
            relation: format!("r{index}"),
            object: text(*object),
        };
        let members = self.members.iter().map(member);
        let parents = self.parents.iter().map(parent);
        members.chain(parents).chain(self.direct.iter().map(direct)).collect()
    }

    /// So many questions, about users that the tuples name and one that they do not.
    pub fn questions(&self, count: usize) -> Vec<Asked> {
        let mut random = Random(self.random.0);
        (0..count)
            .map(|_| Asked {
                user: format!("u{}", random.below(USERS + 1)),
                relation: format!("r{}", random.below(RELATIONS)),
                object_type: TYPES[random.below(2)],
                object_id: random.below(OBJECTS).to_string(),
            })
            .collect()
    }

    /// What is true.
    pub fn allows(&self, asked: &Asked) -> bool {
        let number = |text: &str| text.trim_start_matches(['u', 'r']).parse().unwrap();
        let kind = usize::from(asked.object_type == TYPES[1]);
        let object = (kind, number(&asked.object_id));
        self.has(number(&asked.user), number(&asked.relation), object)
    }

    fn has(&self, user: usize, relation: usize, object: Object) -> bool {
        self.meets(&self.relations[object.0][relation].rewrite, user, relation, object)
    }

    fn meets(&self, rewrite: &Rewrite, user: usize, relation: usize, object: Object) -> bool {
        let meets = |rewrite: &Rewrite| self.meets(rewrite, user, relation, object);
        match rewrite {
            Rewrite::Direct => self
                .direct
                .iter()
                .filter(|(index, of, _)| (*index, *of) == (relation, object))
                .any(|(_, _, subject)| self.is(user, *subject)),
            Rewrite::Computed(other) => self.has(user, *other, object),
            Rewrite::FromParent(other) => self
                .parents
                .iter()
                .filter(|(child, _)| *child == object)
                .any(|(_, folder)| self.has(user, *other, (0, *folder))),
            Rewrite::Any(all) => all.iter().any(meets),
            Rewrite::All(all) => all.iter().all(meets),
            Rewrite::Without(base, without) => meets(base) && !meets(without),
        }
    }

    fn is(&self, user: usize, subject: Subject) -> bool {
        match subject {
            Subject::User(other) => user == other,
            Subject::Everyone => true,
            Subject::MembersOf(group) => {
                let of = |(other, _): &&(usize, Subject)| *other == group;
                self.members.iter().filter(of).any(|(_, member)| self.is(user, *member))
            }
        }
    }
}

impl Relation {
    fn random(random: &mut Random, kind: usize, index: usize) -> Self {
        let mut allowed = [true, random.chance(15), random.chance(50)];
        allowed[0] = !allowed[2] || random.chance(80);
        Self { rewrite: Rewrite::random(random, kind, index), allowed }
    }
}

impl Rewrite {
    fn random(random: &mut Random, kind: usize, index: usize) -> Self {
        let mut leaves = vec![Self::Direct];
        leaves.extend((0..index).map(Self::Computed));
        // A folder's relation follows from earlier ones of its parent; a document's from any.
        leaves.extend((0..if kind == 0 { index } else { RELATIONS }).map(Self::FromParent));
        let mut some = Vec::new();
        while some.len() < 3 && !leaves.is_empty() {
            some.push(leaves.swap_remove(random.below(leaves.len())));
        }
        match (random.below(10), some.len()) {
            (0, 2..) => Self::All(some),
            (1, 2..) => {
                let (base, without) = (some.remove(0), some.remove(0));
                Self::Without(Box::new(base), Box::new(without))
            }
            (2, 3..) => {
                let last = some.remove(2);
                Self::Any(vec![Self::All(some), last])
            }
            (3, 3..) => {
                let (last, base) = (some.remove(2), some.remove(0));
                let some = Self::Any(vec![base, some.remove(0)]);
                Self::Without(Box::new(some), Box::new(last))
            }
            // As in every file system: whoever may do it above may do it here.
            (4..7, _) if kind == 0 => Self::Any(vec![Self::Direct, Self::FromParent(index)]),
            (_, 1) => some.remove(0),
            _ => Self::Any(some),
        }
    }

    fn has_direct(&self) -> bool {
        match self {
            Self::Direct => true,
            Self::Computed(_) | Self::FromParent(_) => false,
            Self::Any(all) | Self::All(all) => all.iter().any(Self::has_direct),
            Self::Without(base, without) => base.has_direct() || without.has_direct(),
        }
    }

    fn json(&self) -> Value {
        let children =
            |all: &[Self]| json!({"child": all.iter().map(Self::json).collect::<Vec<_>>()});
        match self {
            Self::Direct => json!({"this": {}}),
            Self::Computed(other) => json!({"computedUserset": {"relation": format!("r{other}")}}),
            Self::FromParent(other) => json!({"tupleToUserset": {
                "tupleset": {"relation": "parent"},
                "computedUserset": {"relation": format!("r{other}")},
            }}),
            Self::Any(all) => json!({"union": children(all)}),
            Self::All(all) => json!({"intersection": children(all)}),
            Self::Without(base, without) => {
                json!({"difference": {"base": base.json(), "subtract": without.json()}})
            }
        }
    }
}

impl Subject {
    fn random(random: &mut Random, allowed: Allowed) -> Self {
        loop {
            let kind = random.below(3);
            if !allowed[kind] {
                continue;
            }
            return match kind {
                0 => Self::User(random.below(USERS)),
                1 => Self::Everyone,
                _ => Self::MembersOf(random.below(GROUPS)),
            };
        }
    }

    fn text(self) -> String {
        match self {
            Self::User(user) => format!("user:u{user}"),
            Self::Everyone => "user:*".to_owned(),
            Self::MembersOf(group) => format!("group:g{group}#member"),
        }
    }
}

fn types([users, everyone, groups]: Allowed) -> Value {
    let mut types = Vec::new();
    if users {
        types.push(json!({"type": "user"}));
    }
    if everyone {
        types.push(json!({"type": "user", "wildcard": {}}));
    }
    if groups {
        types.push(json!({"type": "group", "relation": "member"}));
    }
    Value::Array(types)
}

fn objects() -> impl Iterator<Item = Object> {
    (0..TYPES.len()).flat_map(|kind| (0..OBJECTS).map(move |number| (kind, number)))
}

fn text((kind, number): Object) -> String {
    format!("{}:{number}", TYPES[kind])
}

/// A sequence that follows from its seed (`SplitMix64`).
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % (limit as u64)).unwrap()
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}
