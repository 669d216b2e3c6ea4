//! What the condition `MemoryPressure` says. Pure.
//!
//! Messages hold no figure that changes from look to look: a status is written for them.

use k8s_openapi::api::core::v1::Pod;
use longshore_crds::MemoryPolicy;
use longshore_crds::conditions::{reasons, types};
use longshore_wire::api::Status;

use super::observe::Observed;
use crate::conditions::{Verdict, no, yes};
use crate::pod;

/// Percentage points below the threshold at which the pressure is over; without them it would come and go with every look.
const HYSTERESIS: u64 = 5;

/// While the runner has not been heard.
pub fn unheard(pod: Option<&Pod>) -> Verdict {
    if pod.is_some_and(pod::was_out_of_memory) {
        let message = "The kernel killed the agent for using more memory than its limit; raise resources.limits.memory of the AgentClass";
        no(types::MEMORY_PRESSURE, reasons::OUT_OF_MEMORY, message)
    } else {
        no(types::MEMORY_PRESSURE, reasons::BELOW_THRESHOLD, "No agent is heard")
    }
}

/// By what the runner says of the pod's memory.
pub fn pressure(seen: &Observed, runner: &Status) -> Verdict {
    let policy = seen
        .class
        .as_ref()
        .map_or_else(MemoryPolicy::default, |class| class.spec.memory.clone());
    let warn = u64::try_from(policy.warn_percent).unwrap_or(100);
    let was_high = seen.holds(types::MEMORY_PRESSURE);
    let threshold = if was_high {
        warn.saturating_sub(HYSTERESIS)
    } else {
        warn
    };
    let memory = &runner.memory;
    let high = memory.limit_bytes.is_some_and(|limit| {
        // Wide enough for any two sizes that a runner may claim.
        u128::from(memory.current_bytes) * 100 >= u128::from(limit) * u128::from(threshold) && limit > 0
    });
    let killed = memory.oom_kills > 0 || seen.pod.as_deref().is_some_and(pod::was_out_of_memory);
    let (reason, message) = if killed {
        let times = memory.oom_kills.max(1);
        (
            reasons::OUT_OF_MEMORY,
            format!(
                "The kernel killed processes of the agent for using more memory than its limit, {times} so far; raise resources.limits.memory of the AgentClass"
            ),
        )
    } else if high {
        let message = format!(
            "The agent uses more than {warn} % of its memory limit; at {} % claude is restarted between two turns",
            policy.recycle_percent
        );
        (reasons::NEAR_LIMIT, message)
    } else if runner.recycled > 0 {
        let times = runner.recycled;
        (
            reasons::RECYCLED,
            format!("claude was restarted with its conversation to free memory, {times} times so far"),
        )
    } else {
        let message = format!("The agent uses less than {warn} % of its memory limit, or has none");
        (reasons::BELOW_THRESHOLD, message)
    };
    if high {
        yes(types::MEMORY_PRESSURE, reason, message)
    } else {
        no(types::MEMORY_PRESSURE, reason, message)
    }
}
