//! Every case of the table comes out as it stands there.
#![allow(clippy::unwrap_used, clippy::panic, reason = "this is a test")]

#[path = "../cases/mod.rs"]
mod cases;

#[test]
fn every_case_comes_out_as_it_stands_in_the_table() {
    let (mut count, mut wrong) = (0, Vec::new());
    for (path, table) in cases::tables() {
        let router = table.router();
        for (number, case) in table.cases.iter().enumerate() {
            count += 1;
            let found = case.explanation(&router);
            assert!(!found.decision.reason.is_empty());
            if let Some(what) = case.expect.differs(&found) {
                let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                wrong.push(format!(
                    "{file} ({}), case {}: {what}\n  {:?} {:?}\n  {found:#?}",
                    table.about,
                    number + 1,
                    case.text,
                    case.attachment
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= 60, "only {count} cases");
}
