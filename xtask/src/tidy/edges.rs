//! Which crate may depend on which. The compiler cannot know that an adapter must not name another one.

use serde_json::Value;

/// Crates that own no backend and may be named by everyone above them.
const CORE: &str = "tidings-core";

/// The third-party crates that the core may use: pure, small, without I/O.
const CORE_MAY_USE: &[&str] = &["base64", "jiff", "serde", "serde_json"];

/// What each library may depend on inside the workspace. A library that is not listed here is refused until it is.
const LIBRARIES: &[(&str, &[&str])] = &[
    (CORE, &[]),
    ("tidings-derive", &[]),
    ("services", &[]),
    ("tidings-testkit", &[CORE]),
    ("tidings", &[CORE, "tidings-derive"]),
    ("tidings-postgres", &[CORE]),
    ("tidings-redis", &[CORE]),
    ("tidings-sqlite", &[CORE]),
    ("tidings-sqlx", &[CORE]),
    ("tidings-kafka", &[CORE]),
];

/// What a library's tests may use besides: never an adapter in the core's or the toolkit's.
const TESTS_MAY_USE: &[(&str, &[&str])] = &[
    ("tidings", &["tidings-testkit"]),
    // Its suites are shown on the ports in memory; a defect is planted there, and the suite must find it.
    ("tidings-testkit", &["tidings"]),
    ("tidings-postgres", &["tidings-testkit", "services"]),
    // A view of two levels over a real server.
    ("tidings-redis", &["tidings", "tidings-testkit", "services"]),
    ("tidings-sqlite", &["tidings-testkit", "services"]),
    ("tidings-sqlx", &["tidings-testkit", "tidings-postgres", "tidings-sqlite", "services"]),
    ("tidings-kafka", &["tidings", "tidings-testkit", "services"]),
];

/// Programs: the only places that name concrete backends. Nothing may depend on them, save a program.
const PROGRAMS: &[&str] = &["retail", "tidings-bench", "tidings-server", "tidings-sim", "xtask"];

/// Problems in the dependency edges of `cargo metadata`.
pub(super) fn check(metadata: &Value) -> Vec<String> {
    let packages = array(metadata, "packages").filter(|package| package["source"].is_null());
    let packages: Vec<_> = packages.collect();
    let names: Vec<_> = packages.iter().map(|package| text(package, "name")).collect();
    packages.iter().flat_map(|package| check_package(package, &names)).collect()
}

fn check_package(package: &Value, workspace: &[&str]) -> Vec<String> {
    let name = text(package, "name");
    if PROGRAMS.contains(&name) {
        return Vec::new();
    }
    let Some(allowed) = lookup(LIBRARIES, name) else {
        return vec![format!("{name}: say in xtask/src/tidy/edges.rs what this crate may depend on")];
    };
    let in_tests = lookup(TESTS_MAY_USE, name).unwrap_or_default();
    let mut problems = Vec::new();
    for dependency in array(package, "dependencies") {
        let target = text(dependency, "name");
        let is_test = dependency["kind"] == "dev";
        if workspace.contains(&target) {
            let fine = allowed.contains(&target) || (is_test && in_tests.contains(&target));
            if !fine {
                let scope = if is_test { "tests must" } else { "must" };
                problems.push(format!("{name}: {scope} not depend on {target}"));
            }
        } else if name == CORE && !is_test && !CORE_MAY_USE.contains(&target) {
            problems
                .push(format!("{name}: {target} is not on the core's list; the core stays small and pure"));
        }
    }
    problems
}

fn lookup(table: &[(&str, &'static [&'static str])], name: &str) -> Option<&'static [&'static str]> {
    table.iter().find(|(of, _)| *of == name).map(|(_, names)| *names)
}

fn array<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value[name].as_array().into_iter().flatten()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metadata(name: &str, kind: Option<&str>, dependency: &str) -> Value {
        let package = |name: &str, dependencies: Value| json!({"name": name, "source": null, "dependencies": dependencies});
        json!({"packages": [
            package(name, json!([{"name": dependency, "kind": kind}])),
            package(if name == "tidings-sqlite" { "tidings-sqlx" } else { "tidings-sqlite" }, json!([])),
            package("xtask", json!([])),
            {"name": "rusqlite", "source": "registry", "dependencies": [{"name": "tidings-sqlite", "kind": null}]},
        ]})
    }

    #[test]
    fn edges_that_the_design_allows_pass() {
        for (name, kind, dependency) in [
            ("tidings-core", None, "jiff"),
            ("tidings-core", Some("dev"), "proptest"),
            ("tidings-sqlite", None, "rusqlite"),
            ("tidings-sqlx", Some("dev"), "tidings-sqlite"),
            ("tidings-server", None, "tidings-sqlite"),
        ] {
            assert_eq!(
                check(&metadata(name, kind, dependency)),
                Vec::<String>::new(),
                "{name} -> {dependency}"
            );
        }
    }

    #[test]
    fn edges_that_it_forbids_are_named() {
        for (name, kind, dependency, problem) in [
            (
                "tidings-core",
                None,
                "tokio",
                "tidings-core: tokio is not on the core's list; the core stays small and pure",
            ),
            (
                "tidings-core",
                Some("build"),
                "cc",
                "tidings-core: cc is not on the core's list; the core stays small and pure",
            ),
            ("tidings", None, "tidings-sqlite", "tidings: must not depend on tidings-sqlite"),
            ("tidings", Some("dev"), "tidings-sqlite", "tidings: tests must not depend on tidings-sqlite"),
            ("tidings-sqlite", None, "tidings-sqlx", "tidings-sqlite: must not depend on tidings-sqlx"),
            ("tidings-sqlx", None, "tidings-sqlite", "tidings-sqlx: must not depend on tidings-sqlite"),
            ("tidings-testkit", None, "xtask", "tidings-testkit: must not depend on xtask"),
            (
                "tidings-new",
                None,
                "serde",
                "tidings-new: say in xtask/src/tidy/edges.rs what this crate may depend on",
            ),
        ] {
            assert_eq!(check(&metadata(name, kind, dependency)), [problem], "{name} -> {dependency}");
        }
    }
}
