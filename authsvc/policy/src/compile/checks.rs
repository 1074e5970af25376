//! The questions that permissions ask: of an authority, and of a rule's `require`.

use vestibule_crds::v1alpha1::{BffPolicySpec, ObjectTemplate, PermissionCheck};

use crate::error::FieldErrors;
use crate::expression::Expression;
use crate::model::CompiledCheck;
use crate::template::Template;

/// Where a question is asked.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    /// At `{base}/authorize`, which has no path that ids could come from.
    Authority,
    /// On requests of a rule.
    Route {
        /// The rule's path, canonical.
        path: &'a str,
        /// Whether the path alone matches.
        exact: bool,
    },
}

/// Validates one question; `None` where it cannot be asked, with an error pushed.
pub(super) fn compile(
    check: &PermissionCheck,
    place: Place<'_>,
    field: &str,
    spec: &BffPolicySpec,
    errors: &mut FieldErrors,
) -> Option<CompiledCheck> {
    match (&check.expression, &check.open_fga, &check.auth_zen) {
        (Some(source), None, None) => expression(source, &format!("{field}.expression"), errors)
            .map(CompiledCheck::Expression),
        (None, Some(check), None) => {
            let field = format!("{field}.openFga");
            if spec.open_fga.is_none() {
                errors.push(&field, "there is no server to ask: give spec.openFga");
            }
            relation(&check.relation, &format!("{field}.relation"), errors);
            let object = template(&check.object, place, &format!("{field}.object"), errors)?;
            Some(CompiledCheck::OpenFga { relation: check.relation.clone(), object })
        }
        (None, None, Some(check)) => {
            let field = format!("{field}.authZen");
            if spec.auth_zen.is_none() {
                errors.push(&field, "there is no decision point to ask: give spec.authZen");
            }
            relation(&check.action, &format!("{field}.action"), errors);
            let resource = template(&check.resource, place, &format!("{field}.resource"), errors)?;
            Some(CompiledCheck::AuthZen { action: check.action.clone(), resource })
        }
        _ => {
            errors.push(field, "give one of expression, openFga and authZen");
            None
        }
    }
}

/// Reads an expression; `None` where it is none, with an error pushed.
pub(super) fn expression(
    source: &str,
    field: &str,
    errors: &mut FieldErrors,
) -> Option<Expression> {
    Expression::parse(source).map_err(|message| errors.push(field, message)).ok()
}

/// A name that decision points know: a relation, an action or a type.
pub(super) fn relation(text: &str, field: &str, errors: &mut FieldErrors) {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    if text.is_empty() || text.len() > 50 || !text.bytes().all(plain) {
        errors.push(field, "must be 1 to 50 letters, digits, '_', '-' and '.'");
    }
}

fn template(
    object: &ObjectTemplate,
    place: Place<'_>,
    field: &str,
    errors: &mut FieldErrors,
) -> Option<Template> {
    relation(&object.object_type, &format!("{field}.type"), errors);
    let path = object.path.as_deref();
    match (path, place) {
        (Some(_), Place::Authority) => {
            let text = "is for routes: an authority's permissions are asked for without a path, so \
                        that ids can come from claims only";
            errors.push(format!("{field}.path"), text);
            return None;
        }
        (Some(path), Place::Route { .. }) => {
            if let Err(message) = Template::check_path(path) {
                errors.push(format!("{field}.path"), message);
                return None;
            }
        }
        (None, _) => {}
    }
    let template = Template::parse(&object.object_type, &object.id, path)
        .map_err(|message| errors.push(format!("{field}.id"), message))
        .ok()?;
    if let Place::Route { path, exact } = place
        && template.has_captures()
        && !template.fits_route(path, exact)
    {
        let below = path.trim_end_matches('/');
        errors.push(
            format!("{field}.path"),
            if exact {
                format!("the rule matches {path} alone: write a path of no more segments than that")
            } else {
                format!("must be at or below the rule's path, such as {below}/{{id}}: else every request is refused")
            },
        );
    }
    Some(template)
}
