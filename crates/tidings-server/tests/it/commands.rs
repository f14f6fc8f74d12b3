//! The command line itself.

use crate::support::run;

#[test]
fn a_mistake_is_one_sentence_and_exit_code_2() {
    for args in [
        &["dev", "--lod", "5"][..],
        &["dev", "--for", "soon"],
        &["dev", "--port", "70000"],
        &["dev", "--load", "-1"],
        &["fly"],
        &["tail", "--from", "yesterday"],
        &["publish", "a", "b"],
        &["check-history"],
        &["check-history", "h.jsonl", "--threads", "0"],
        &["check-history", "h.jsonl", "--threads", "65"],
    ] {
        let said = run(args);
        assert_eq!(said.code, Some(2), "{args:?}: {said:?}");
        assert!(said.err.starts_with("tidings: ") && said.err.ends_with("[TD2001]\n"), "{args:?}: {said:?}");
        assert_eq!(said.err.lines().count(), 1, "{args:?}: {said:?}");
    }
}

#[test]
fn help_names_every_command() {
    let said = run(&["--help"]);
    assert_eq!(said.code, Some(0));
    for command in ["dev", "check-history", "publish", "tail", "status", "error"] {
        assert!(said.out.contains(&format!("\n  {command} ")), "{}", said.out);
    }
}

#[test]
fn every_code_has_a_page() {
    let list = run(&["error"]);
    assert_eq!(list.code, Some(0));
    assert!(list.out.lines().count() > 30, "{}", list.out);
    for line in list.out.lines() {
        let page = run(&["error", &line[..6]]);
        assert_eq!(page.code, Some(0));
        assert!(
            page.out.starts_with(&format!("# {}", &line[..6])) && page.out.contains("How to mend"),
            "{page:?}"
        );
    }
    let said = run(&["error", "TD0000"]);
    assert_eq!((said.code, said.err.contains("TD0000")), (Some(1), true), "{said:?}");
}
