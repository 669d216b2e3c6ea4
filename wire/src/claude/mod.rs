//! Lines of the `claude` CLI in `--input-format stream-json --output-format stream-json` mode, version 2.1.330.
//!
//! [`output`] reads what claude prints, [`input`] writes what it is told, [`mcp`] is what goes between claude and an MCP server
//! that lives in the runner. All are plain data.
//!
//! Reading never fails: a kind that is not known is kept as [`Line::Unknown`], a known kind of an unexpected shape as
//! [`Line::Malformed`], and what is no JSON as [`Line::NotJson`], so that `longshore-runner replay` can name what a new
//! version of the CLI says that this one does not understand. Writing goes through serde alone, because one line that is
//! not JSON ends the CLI.

pub mod input;
pub mod mcp;
pub mod output;

pub use input::{Input, PermissionAnswer, Request, UserContent, UserMessage};
pub use mcp::{McpAnswer, McpCall, McpRequest};
pub use output::{
    Assistant, Block, CanUseTool, ControlResponse, Delta, Lifecycle, Line, Stream, System, TurnResult, User, decode,
};
