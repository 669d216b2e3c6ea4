//! The embedded cluster's one way out, which is shut unless somebody stands at its other end.

use anyhow::{Result, ensure};
use longshore_e2e::install::{Options, skip, with_install};
use longshore_e2e::kinds::{list, task, topic};
use longshore_e2e::outside::{MODEL, Outside};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

#[tokio::test]
async fn a_name_outside_is_reached_only_while_the_demo_carries_it() -> Result<()> {
    let egress = json!([
        {"to": [{"podSelector": {"matchLabels": {"app": "model"}}}]},
        {"to": [{"ipBlock": {"cidr": format!("{}/32", MODEL.1)}}]},
    ]);
    let values = json!({"agentClass": {"permissions": {"allowedTools": ["Bash"]}, "egress": egress}});
    with_install(Options::named("outside").with(values), async |install| {
        let Some(state) = install.cluster.embedded_state() else {
            return skip("only the embedded cluster has this way out");
        };
        let server = TcpListener::bind("127.0.0.1:0").await?;
        let target = server.local_addr()?.to_string();
        let serving = tokio::spawn(async move {
            while let Ok((mut connection, _)) = server.accept().await {
                let mut word = [0; 4];
                if connection.read_exact(&mut word).await.is_ok() {
                    let _ = connection.write_all(b"pong from outside").await;
                }
            }
        });
        let ask = "exec 3<>/dev/tcp/api.anthropic.com/443; printf ping >&3; timeout 5 cat <&3";
        let prompt = format!("[[bash {ask}]] [[say heard: {{{{last_tool_result}}}}]]");
        install
            .apply(&list(vec![topic("outside"), task("shut", "outside", &prompt)]))
            .await?;
        let shut = install.task("shut", "Complete", "True").await?;
        let outside = Outside::open_to(state, &[(MODEL.0, target)])?;
        install.apply(&task("open", "outside", &prompt)).await?;
        let open = install.task("open", "Complete", "True").await?;
        drop(outside);
        serving.abort();
        let text = |task: &longshore_crds::ContainerTask| {
            let result = task.status.as_ref().and_then(|status| status.result.as_ref());
            result.map(|result| result.text.clone()).unwrap_or_default()
        };
        ensure!(!text(&shut).contains("pong"), "{}", text(&shut));
        ensure!(text(&open).contains("pong from outside"), "{}", text(&open));
        Ok(())
    })
    .await
}
