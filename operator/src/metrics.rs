//! Metrics in the OpenMetrics text format. Labels are kinds and outcomes, never objects.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::runtime::reflector::Store;
use longshore_crds::{PersistentSession, SessionPhase};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Kind {
    kind: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Failure {
    kind: String,
    error: String,
}

/// Handles to all metrics; cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    passes: Family<Kind, Counter>,
    failures: Family<Failure, Counter>,
    seconds: Family<Kind, Histogram>,
    leads: Gauge,
    active_sessions: Gauge,
    sessions: Arc<Mutex<Vec<Store<PersistentSession>>>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let passes = Family::<Kind, Counter>::default();
        let failures = Family::<Failure, Counter>::default();
        let seconds =
            Family::<Kind, Histogram>::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 4.0, 8)));
        let (leads, active_sessions) = (Gauge::default(), Gauge::default());
        let mut registry = Registry::with_prefix("longshore_operator");
        registry.register("reconciles", "Passes over objects", passes.clone());
        registry.register(
            "reconcile_errors",
            "Passes that failed, by failing operation",
            failures.clone(),
        );
        registry.register("reconcile_seconds", "Duration of passes", seconds.clone());
        registry.register("leader", "1 while this process leads", leads.clone());
        registry.register(
            "active_sessions",
            "Sessions that accept messages",
            active_sessions.clone(),
        );
        Self {
            registry: Arc::new(registry),
            passes,
            failures,
            seconds,
            leads,
            active_sessions,
            sessions: Arc::default(),
        }
    }
}

impl Metrics {
    pub fn reconciled(&self, kind: &str, took: Duration, error: Option<&'static str>) {
        let label = Kind { kind: kind.to_owned() };
        self.passes.get_or_create(&label).inc();
        self.seconds.get_or_create(&label).observe(took.as_secs_f64());
        if let Some(error) = error {
            self.failures
                .get_or_create(&Failure {
                    kind: kind.to_owned(),
                    error: error.to_owned(),
                })
                .inc();
        }
    }

    pub fn leads(&self, leads: bool) {
        self.leads.set(i64::from(leads));
    }

    /// Sessions to count from now on.
    pub fn count_sessions_in(&self, stores: Vec<Store<PersistentSession>>) {
        *self.sessions.lock().unwrap_or_else(PoisonError::into_inner) = stores;
    }

    /// The text to scrape.
    pub fn scrape(&self) -> Result<String, std::fmt::Error> {
        let running = |session: &PersistentSession| {
            session
                .status
                .as_ref()
                .is_some_and(|status| status.phase == Some(SessionPhase::Running))
        };
        let stores = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let active: usize = stores.iter().map(|store| store.state_filter(running).len()).sum();
        self.active_sessions.set(i64::try_from(active).unwrap_or(i64::MAX));
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
