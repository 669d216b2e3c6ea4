//! The key stays with the runner.

use serde_json::json;

use crate::support::{KEY, Rig, Setup, id};

/// A user that is not root, when the tests may choose.
pub fn nobody() -> Option<u32> {
    nix::unistd::geteuid().is_root().then_some(65_532)
}

#[tokio::test]
async fn the_key_reaches_the_model_and_nothing_that_claude_runs() {
    let rig = Rig::start(Setup {
        agent: json!({"allowedTools": ["Bash"]}),
        user: nobody(),
        ..Setup::default()
    })
    .await;
    // Reads everything that a process of the same user may read, the runner's own files in /proc included.
    let search = "python3 - <<'PY'\nimport glob, os\nkey = 'sk-real-' + 'and-secret'\nhits, read = [], 0\nfor path in glob.glob('/proc/[0-9]*/environ') + glob.glob('/proc/[0-9]*/cmdline') + glob.glob('/proc/[0-9]*/fd/*'):\n    try:\n        if path.split('/')[3] == 'fd' and not os.path.isfile(path): continue\n        data = open(path, 'rb').read(10000000)\n        read += 1\n        if key.encode() in data and str(os.getpid()) != path.split('/')[2]: hits.append(path)\n    except OSError: pass\nprint('hits', hits, 'read', read > 3, 'env', key in str(os.environ))\nPY";
    let runner = rig.runner.pid();
    let text = format!(
        "look [[bash {search}]] [[say {{{{last_tool_result}}}}]] [[bash cat /proc/{runner}/environ /proc/{runner}/mem; ls /proc/{runner}/fd]] [[say {{{{last_tool_result}}}}]]"
    );
    let turn = rig.runner.ask(id(1), &text).await;
    assert!(turn.blocks[&0].contains("hits [] read True env False"), "{turn:?}");
    assert_eq!(turn.blocks[&1].matches("ermission denied").count(), 3, "{turn:?}");
    assert!(!turn.text().contains(KEY));
    let entries = rig.client().requests(&Default::default()).await.unwrap();
    assert!(!entries.is_empty());
    assert!(
        entries.iter().all(|entry| entry.headers["x-api-key"] == KEY),
        "the model sees the real one"
    );
    // Nor does it ever reach the volume.
    let found = std::process::Command::new("grep")
        .args(["-rl", KEY])
        .arg(rig.folder.path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
}

#[tokio::test]
async fn only_variables_named_for_tools_reach_them() {
    let rig = Rig::start(Setup {
        agent: json!({"allowedTools": ["Bash"]}),
        ..Setup::default()
    })
    .await;
    let turn = rig.runner.ask(id(1), "[[bash env]] [[say {{last_tool_result}}]]").await;
    assert!(turn.text().contains("AGENT_GREETING=ahoy"), "{turn:?}");
    for hidden in ["LONGSHORE_", "HTTPS_PROXY", KEY] {
        assert!(!turn.text().contains(hidden), "{hidden} in {turn:?}");
    }
}

#[tokio::test]
async fn workspace_hooks_and_settings_have_no_effect_unless_trusted() {
    for trusted in [false, true] {
        let mut rig = Rig::start(Setup {
            agent: json!({"trustWorkspaceSettings": trusted}),
            ..Setup::default()
        })
        .await;
        rig.runner
            .until("ready", |status| status.claude_version.is_some())
            .await;
        rig.runner.terminate().await;
        let marker = rig.path("hook-ran");
        let hook = json!({"hooks": {"UserPromptSubmit": [{"hooks": [{"type": "command", "command": format!("touch {}", marker.display())}]}]}});
        std::fs::create_dir_all(rig.path("workspace/.claude")).unwrap();
        std::fs::write(rig.path("workspace/.claude/settings.json"), hook.to_string()).unwrap();
        rig.start_again().await;
        rig.runner.ask(id(1), "one").await;
        assert_eq!(marker.exists(), trusted);
    }
}
