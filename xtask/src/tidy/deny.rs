//! What may enter the build: licences and sources of dependencies, and crates that are never let in.
//!
//! The policy is `deny.toml`, so that `cargo deny` users and this check read the same file; this check needs no install.

use serde_json::Value;

/// The part of `deny.toml` that is checked here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Policy {
    licences: Vec<String>,
    banned: Vec<Banned>,
}

/// A crate that nothing but these may depend on.
#[derive(Debug, PartialEq, Eq)]
struct Banned {
    name: String,
    wrappers: Vec<String>,
}

impl Policy {
    /// Reads the quoted names of the list `allow` under `[licenses]`, and of each line of `deny` under `[bans]`.
    pub(super) fn parse(text: &str) -> Self {
        let mut policy = Self::default();
        let (mut section, mut list) = (String::new(), String::new());
        for line in text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()) {
            if list.is_empty() && line.starts_with('[') {
                section = line.trim_matches(['[', ']']).to_owned();
            } else if let Some((name, _)) = line.split_once('=').filter(|_| list.is_empty()) {
                list = name.trim().to_owned();
            }
            let mut quoted = line.split('"').skip(1).step_by(2).map(str::to_owned);
            match (section.as_str(), list.as_str()) {
                ("licenses", "allow") => policy.licences.extend(quoted),
                // One line for each crate, as `cargo deny` has it: its name, and who may bring it all the same.
                ("bans", "deny") => policy
                    .banned
                    .extend(quoted.next().map(|name| Banned { name, wrappers: quoted.collect() })),
                _ => {}
            }
            if !list.is_empty() && (line.ends_with(']') || !line.ends_with(['[', ','])) {
                list.clear();
            }
        }
        policy
    }
}

/// Problems among the dependencies in `cargo metadata`.
pub(super) fn check(metadata: &Value, policy: &Policy) -> Vec<String> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    packages.flat_map(|package| check_package(package, metadata, policy)).collect()
}

/// The names of the packages that bring this one into the build.
fn dependents<'a>(id: &'a str, metadata: &'a Value) -> impl Iterator<Item = &'a str> {
    let nodes = metadata["resolve"]["nodes"].as_array().into_iter().flatten();
    let brings = move |node: &&Value| {
        node["dependencies"].as_array().into_iter().flatten().any(|dependency| dependency == id)
    };
    let name = |node: &'a Value| {
        let packages = metadata["packages"].as_array().into_iter().flatten();
        packages.filter(|package| package["id"] == node["id"]).find_map(|package| package["name"].as_str())
    };
    nodes.filter(brings).filter_map(name)
}

fn check_package(package: &Value, metadata: &Value, policy: &Policy) -> Vec<String> {
    let text = |name: &str| package[name].as_str();
    let name = text("name").unwrap_or_default();
    let mut problems = Vec::new();
    let is_wrapped = |banned: &Banned| {
        let mut dependents = dependents(text("id").unwrap_or_default(), metadata).peekable();
        dependents.peek().is_some() && dependents.all(|name| banned.wrappers.iter().any(|one| one == name))
    };
    if policy.banned.iter().any(|banned| banned.name == name && !is_wrapped(banned)) {
        problems.push(format!(
            "{name}: must not enter the build (deny.toml); `cargo tree -i {name}` shows who brings it"
        ));
    }
    match text("license") {
        Some(licence) if is_allowed(licence, &policy.licences) => {}
        Some(licence) => problems.push(format!("{name}: its licence {licence:?} is not allowed (deny.toml)")),
        None => problems.push(format!("{name}: states no licence")),
    }
    let from = text("source").unwrap_or_default();
    if !(from.is_empty() || from.starts_with("registry+https://github.com/rust-lang/crates.io-index")) {
        problems.push(format!("{name}: comes from {from}, not from crates.io"));
    }
    problems
}

/// Whether an SPDX expression can be satisfied with the allowed licences. `/` is how older crates write `OR`.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let fine = any(&mut words, allowed);
    fine && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(words: &mut Words<'_>, allowed: &[String]) -> bool {
    let mut fine = all(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        fine |= all(words, allowed);
    }
    fine
}

fn all(words: &mut Words<'_>, allowed: &[String]) -> bool {
    let mut fine = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        fine &= one(words, allowed);
    }
    fine
}

fn one(words: &mut Words<'_>, allowed: &[String]) -> bool {
    if words.next_if_eq(&"(").is_some() {
        let fine = any(words, allowed);
        return words.next() == Some(")") && fine;
    }
    let Some(licence) = words.next() else { return false };
    // An exception only adds permissions, so the licence itself decides.
    if words.next_if_eq(&"WITH").is_some() {
        words.next();
    }
    allowed.iter().any(|name| name == licence)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const POLICY: &str = r#"
[licenses]
confidence-threshold = 0.9
allow = [
    "MIT", # the usual
    "Apache-2.0",
]
[bans]
multiple-versions = "warn"
deny = [
    { crate = "openssl-sys" },
    { crate = "native-tls", wrappers = ["one", "another"] },
]
[sources]
allow = ["elsewhere"]
"#;

    fn policy() -> Policy {
        Policy::parse(POLICY)
    }

    #[test]
    fn the_policy_is_what_cargo_deny_would_read() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        // Field names inside the tables are not quoted, so only the crates' names are read.
        let banned = |name: &str, wrappers| Banned { name: name.to_owned(), wrappers: words(wrappers) };
        let expected = Policy {
            licences: words(&["MIT", "Apache-2.0"]),
            banned: vec![banned("openssl-sys", &[]), banned("native-tls", &["one", "another"])],
        };
        assert_eq!(policy(), expected);
        assert_eq!(
            Policy::parse("[licenses]\nallow = [\"MIT\", \"ISC\"]\n").licences,
            words(&["MIT", "ISC"])
        );
    }

    #[test]
    fn a_licence_expression_must_be_satisfiable() {
        for (expression, expected) in [
            ("MIT", true),
            ("GPL-3.0-only", false),
            ("MIT OR GPL-3.0-only", true),
            ("MIT/GPL-3.0-only", true),
            ("MIT AND GPL-3.0-only", false),
            ("(GPL-3.0-only OR MIT) AND Apache-2.0", true),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", false),
            ("Apache-2.0 WITH LLVM-exception OR GPL-3.0-only", true),
            ("(MIT", false),
            ("MIT Apache-2.0", false),
            ("", false),
        ] {
            assert_eq!(is_allowed(expression, &policy().licences), expected, "{expression}");
        }
    }

    #[test]
    fn what_must_not_enter_the_build_is_named() {
        let crates_io = "registry+https://github.com/rust-lang/crates.io-index";
        for (package, expected) in [
            (json!({"name": "serde", "license": "MIT OR Apache-2.0", "source": crates_io}), ""),
            (json!({"name": "tidings", "license": "MIT OR Apache-2.0", "source": null}), ""),
            (
                json!({"name": "openssl-sys", "license": "MIT", "source": crates_io}),
                "must not enter the build",
            ),
            (json!({"name": "x", "license": "AGPL-3.0", "source": crates_io}), "\"AGPL-3.0\" is not allowed"),
            (json!({"name": "x", "license": null, "source": crates_io}), "states no licence"),
            (
                json!({"name": "x", "license": "MIT", "source": "git+https://example.com/x"}),
                "not from crates.io",
            ),
        ] {
            let problems = check(&json!({"packages": [package]}), &policy());
            assert_eq!(problems.is_empty(), expected.is_empty(), "{problems:?}");
            assert!(problems.iter().all(|problem| problem.contains(expected)), "{problems:?}");
        }
    }

    #[test]
    fn what_is_banned_may_come_with_its_wrapper_and_with_nobody_else() {
        for (dependents, is_fine) in [(vec!["one"], true), (vec!["one", "other"], false), (vec![], false)] {
            let package = |name: &str| json!({"id": name, "name": name, "license": "MIT"});
            let node = |name: &&str| json!({"id": name, "dependencies": ["native-tls"]});
            let nodes: Vec<_> = dependents.iter().map(node).collect();
            let packages = ["one", "other", "native-tls"].map(package);
            let metadata = json!({"packages": packages, "resolve": {"nodes": nodes}});
            assert_eq!(check(&metadata, &policy()).is_empty(), is_fine, "{dependents:?}");
        }
    }
}
