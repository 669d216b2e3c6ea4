//! Runs a reconciler over a queue: bounded concurrency, back-off per object, metrics, one log line per failure.
//!
//! Knows no kind. An object is never reconciled twice at once. kube has no back-off per object, so it is here.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::channel::mpsc::UnboundedReceiver;
use futures::{FutureExt, StreamExt};
use kube::runtime::controller::{Action, Config, Error as ControllerError, applier};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt};
use rand::Rng;
use tokio_util::sync::CancellationToken;

use crate::cluster::Error;
use crate::context::Context;
use crate::metrics::Metrics;

/// Passes of one kind at once.
const CONCURRENCY: u16 = 16;
const FIRST_DELAY: Duration = Duration::from_millis(500);
const LONGEST_DELAY: Duration = Duration::from_secs(300);

/// Runs until told to stop; passes that have begun are finished.
pub async fn run<K, F>(
    store: Store<K>,
    queue: UnboundedReceiver<ObjectRef<K>>,
    context: Arc<Context>,
    metrics: Metrics,
    reconcile: fn(Arc<K>, Arc<Context>) -> F,
    stop: CancellationToken,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
    F: Future<Output = Result<Action, Error>> + Send + 'static,
{
    let kind = K::kind(&()).into_owned();
    let backoff = Arc::new(Backoff::default());
    let reconciler = {
        let (kind, metrics, backoff) = (kind.clone(), metrics.clone(), Arc::clone(&backoff));
        move |object: Arc<K>, context: Arc<Context>| {
            let (kind, metrics, backoff) = (kind.clone(), metrics.clone(), Arc::clone(&backoff));
            async move {
                let begun = Instant::now();
                let outcome = reconcile(Arc::clone(&object), context).await;
                metrics.reconciled(&kind, begun.elapsed(), outcome.as_ref().err().map(Error::label));
                if outcome.is_ok() {
                    backoff.forget(&key(object.as_ref()));
                }
                outcome
            }
            .boxed()
        }
    };
    let on_error = move |object: Arc<K>, _: &Error, _: Arc<Context>| {
        Action::requeue(backoff.next(&key(object.as_ref()), object.meta().generation, &mut rand::rng()))
    };
    let queue = queue.map(Ok::<_, Infallible>).take_until(stop.cancelled_owned());
    let config = Config::default().concurrency(CONCURRENCY);
    applier(reconciler, on_error, context, store, queue, config)
        .for_each(|outcome| {
            report(&kind, outcome);
            std::future::ready(())
        })
        .await;
}

fn key<K: Resource>(object: &K) -> String {
    object.uid().unwrap_or_else(|| object.name_any())
}

fn report<K: Resource<DynamicType = ()>>(
    kind: &str,
    outcome: Result<(ObjectRef<K>, Action), ControllerError<Error, Infallible>>,
) {
    match outcome {
        Ok((object, _)) => tracing::debug!(kind, object = %object.name, "reconciled"),
        // Gone before its turn came.
        Err(ControllerError::ObjectNotFound(_)) => {}
        Err(ControllerError::ReconcilerFailed(error, object)) => match error {
            Error::Conflict { .. } => tracing::debug!(kind, object = %object.name, %error, "trying again"),
            error => tracing::warn!(kind, object = %object.name, error = error.answer(), "trying again later"),
        },
        Err(error) => tracing::error!(kind, error = %crate::chain(&error), "the controller is in trouble"),
    }
}

/// Failures in a row per object.
#[derive(Default)]
struct Backoff(Mutex<HashMap<String, Failures>>);

#[derive(Clone, Copy)]
struct Failures {
    generation: Option<i64>,
    count: u32,
}

impl Backoff {
    fn forget(&self, key: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Doubles with every failure of one generation, with a fifth of jitter.
    fn next(&self, key: &str, generation: Option<i64>, rng: &mut impl Rng) -> Duration {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = all.entry(key.to_owned()).or_insert(Failures { generation, count: 0 });
        if failures.generation != generation {
            *failures = Failures { generation, count: 0 };
        }
        let delay = FIRST_DELAY
            .saturating_mul(1 << failures.count.min(20))
            .min(LONGEST_DELAY);
        failures.count += 1;
        delay.mul_f64(rng.random_range(0.8..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_five_minutes_and_start_anew_with_success_or_a_new_spec() {
        let (backoff, mut rng) = (Backoff::default(), rand::rng());
        let mut next = |generation| backoff.next("uid", Some(generation), &mut rng);
        assert!(next(1) <= FIRST_DELAY);
        let last = (0..30).map(|_| next(1)).last().unwrap();
        assert!(last <= LONGEST_DELAY && last >= LONGEST_DELAY.mul_f64(0.8));
        assert!(next(2) <= FIRST_DELAY);
        next(2);
        backoff.forget("uid");
        assert!(backoff.next("uid", Some(2), &mut rand::rng()) <= FIRST_DELAY);
    }
}
