//! What the leader does, from the moment it leads until it does not.
//!
//! It must not begin with what it remembers of an earlier time: another one may have led meanwhile.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ListParams};
use tokio::time::{MissedTickBehavior, interval, sleep};
use vestibule_crds::names;
use vestibule_policy::model::PolicyId;

use crate::api::{ApiError, call};
use crate::context::Context;
use crate::queue::{self, Work};
use crate::reconcile::lost::lost;
use crate::reconcile::{decode, reconcile};
use crate::settings::Settings;
use crate::{keys, replicas};

/// So many policies are worked on at a time.
const AT_ONCE: usize = 8;
/// After this time everything is looked at once more, in case a change was missed.
const RESYNC: Duration = Duration::from_hours(1);
const RETRY: Duration = Duration::from_secs(2);
const PAGE: u32 = 200;

/// Leads for ever. Dropping the future ends all of it.
pub async fn lead(context: &Arc<Context>, settings: &Settings) {
    context.begin();
    let token = loop {
        let namespace = &settings.installation.namespace;
        match keys::ensure(&context.client, namespace, &settings.keys_secret).await {
            Ok(token) => break token,
            Err(error) => tracing::error!(%error, "without the keys nothing can be begun"),
        }
        sleep(RETRY).await;
    };
    context.world.pending.none().await;
    let held = loop {
        match seed(context).await {
            Ok(held) => break held,
            Err(error) => tracing::error!(%error, "who holds which host could not be read"),
        }
        context.claims().clear();
        sleep(RETRY).await;
    };
    tracing::info!(policies = context.world.caches.policies.keys().len(), "begins to work");
    context.world.wake_all();
    for id in held {
        context.queue.add(&id, Work::Full);
    }
    let work =
        queue::run(&context.queue, AT_ONCE, |id, work| reconcile(Arc::clone(context), id, work));
    let follow = replicas::run(
        &context.world,
        &context.replicas,
        &context.metrics,
        settings.authsvc_admin_port,
        token,
        || context.wake_statuses(),
    );
    tokio::join!(work, follow, resync(context));
}

/// Reads who holds which host, as the Secrets say now, and gives all their policies. What a Secret
/// that cannot be read held comes last, so that it takes nothing from the others.
async fn seed(context: &Context) -> Result<Vec<PolicyId>, ApiError> {
    let namespace = &context.installation.namespace;
    let api: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    let labels = format!("{}={}", names::COMPILED_LABEL, names::COMPILED_VALUE);
    let mut params = ListParams::default().labels(&labels).limit(PAGE);
    let (mut held, mut unreadable) = (Vec::new(), Vec::new());
    loop {
        let action = || format!("list Secrets of {namespace}");
        let page = call(action, api.list(&params)).await.map_err(ApiError::without_message)?;
        for secret in &page.items {
            match decode(secret) {
                Ok(handoff) => {
                    context.claims().record(&handoff.id, &handoff.origins);
                    held.push(handoff.id);
                }
                Err(error) => {
                    let name = secret.metadata.name.as_deref();
                    tracing::warn!(name, error, "a compiled Secret cannot be read");
                    unreadable.extend(context.world.owner(secret));
                }
            }
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    for id in unreadable {
        context.claims().reserve(&id, &lost(&context.world, &id).origins);
        held.push(id);
    }
    Ok(held)
}

async fn resync(context: &Context) {
    let mut ticks = interval(RESYNC);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        context.world.wake_all();
    }
}
