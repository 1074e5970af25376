//! The API types of `vestibule.dev`: what users write, as `BffPolicy` and its neighbours.
//!
//! Why it exists: one definition feeds the CRD YAML, the field reference in `docs/`, the directory
//! source and the operator. It must not hold behaviour: no client, no IO, no validation beyond
//! what a schema says (that is `vestibule_policy::compile`). A field exists only once it works.

mod bounds;
pub mod conditions;
pub mod generate;
pub mod names;
pub mod v1alpha1;

/// The API group of every kind in this crate.
pub const GROUP: &str = "vestibule.dev";
