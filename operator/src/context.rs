//! What every reconciler is given: client, caches, settings, keys, the way to runners, metrics.

use std::sync::Arc;

use kube::Client;
use kube::runtime::events::Recorder;

use crate::agent::{Dialer, Quiesced};
use crate::clock::Clock;
use crate::cluster::Superseded;
use crate::furniture::{Access, Policies};
use crate::index::{Index, Names};
use crate::settings::Settings;

/// One per scope, for as long as this process leads.
pub struct Context {
    pub client: Client,
    pub settings: Arc<Settings>,
    pub index: Index,
    pub superseded: Superseded,
    pub access: Access,
    pub policies: Policies,
    pub dialer: Dialer,
    pub recorder: Recorder,
    /// Namespaces whose Service is there.
    pub served: Names,
    pub clock: Clock,
    pub quiesced: Quiesced,
}
