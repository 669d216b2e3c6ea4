//! Bad manifests are refused at admission, with a message that says what to write instead.

use anyhow::{Result, ensure};
use longshore_e2e::admission::refused;
use longshore_e2e::install::{Options, with_install};

#[tokio::test]
async fn bad_manifests_are_refused_with_a_message_that_says_what_to_write() -> Result<()> {
    with_install(Options::named("admission"), async |install| {
        let cases = refused()?;
        ensure!(cases.len() >= 12, "only {} cases", cases.len());
        for case in cases {
            let (last, before) = case.documents.split_last().expect("split never gives nothing");
            let args = ["--namespace", install.namespace.as_str(), "apply", "-f", "-"];
            for document in before {
                install.cluster.kubectl_with_input(&args, document).await?;
            }
            let answer = install.cluster.kubectl_with_input(&args, last).await;
            let message = match answer {
                Ok(_) => anyhow::bail!("{} was accepted", case.name),
                Err(error) => format!("{error:#}"),
            };
            ensure!(
                message.contains(&case.expect),
                "{}: expected «{}», got «{message}»",
                case.name,
                case.expect
            );
        }
        Ok(())
    })
    .await
}
