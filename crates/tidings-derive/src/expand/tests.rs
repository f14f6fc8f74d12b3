use syn::parse_str;

use super::*;

fn expanded(source: &str) -> String {
    expand(&parse_str(source).unwrap()).unwrap().to_string()
}

fn refused(source: &str) -> String {
    expand(&parse_str(source).unwrap()).unwrap_err().to_string()
}

/// Token streams print with their own spacing; compare without any.
fn assert_contains(expansion: &str, expected: &str) {
    let squeeze = |text: &str| text.split_whitespace().collect::<String>();
    assert!(squeeze(expansion).contains(&squeeze(expected)), "{expected}\nis not in\n{expansion}");
}

#[test]
fn the_type_is_the_context_and_the_fact() {
    let expansion = expanded(
        r#"#[event(context = "pricing", entity = "price", key = "sku", version = "version")]
           struct BasePriceChanged { sku: String, version: u64 }"#,
    );
    for expected in [
        "impl ::tidings::DomainEvent for BasePriceChanged {",
        r#"const TYPE: &'static str = "pricing.BasePriceChanged";"#,
        r#"const CONTEXT: &'static str = "pricing";"#,
        r#"const ENTITY_KIND: &'static str = "price";"#,
        r#"{ ::std::format!("{}", self.sku) }"#,
        "::into(self.version)",
        "::tidings::Window { from: ::core::option::Option::None, until: ::core::option::Option::None }",
    ] {
        assert_contains(&expansion, expected);
    }
}

#[test]
fn several_keys_are_joined_in_the_order_given() {
    let expansion = expanded(
        r#"#[event(context = "pricing", entity = "price", key = ["region", "sku"])]
           struct BasePriceChanged { sku: String, region: String }"#,
    );
    assert_contains(&expansion, r#"::std::format!("{}/{}", self.region, self.sku)"#);
    assert_contains(&expansion, "-> ::core::option::Option<u64> { ::core::option::Option::None }");
}

#[test]
fn a_name_and_a_window_can_be_given_and_attributes_can_be_split() {
    let expansion = expanded(
        r#"#[event(context = "pricing", entity = "promotion", key = "id", name = "PromotionActivated")]
           #[event(from = "starts", until = "ends")]
           struct Activation<T: Clone> where T: Copy { id: u64, starts: Time, ends: Option<Time>, extra: T }"#,
    );
    for expected in [
        "impl<T: Clone> ::tidings::DomainEvent for Activation<T> where T: Copy {",
        r#"= "pricing.PromotionActivated";"#,
        "from: ::core::convert::Into::<::core::option::Option<::tidings::Time>>::into(::core::clone::Clone::clone(&self.starts))",
        "until: ::core::convert::Into::<::core::option::Option<::tidings::Time>>::into(::core::clone::Clone::clone(&self.ends))",
    ] {
        assert_contains(&expansion, expected);
    }
}

#[test]
fn each_mistake_is_one_sentence_with_its_remedy() {
    for (source, sentence) in [
        (
            r#"#[event(entity = "price", key = "sku")] struct PriceChanged { sku: String }"#,
            "`PriceChanged` does not say its context; add #[event(context = \"pricing\")]",
        ),
        (
            r#"#[event(context = "pricing", key = "sku")] struct PriceChanged { sku: String }"#,
            "`PriceChanged` does not say its entity; add #[event(entity = \"price\")]",
        ),
        (
            r#"#[event(context = "pricing", entity = "price")] struct PriceChanged { sku: String }"#,
            "`PriceChanged` does not say which fields are its entity's id; add #[event(key = \"..\")]",
        ),
        (
            r#"#[event(context = "pricing", entity = "price", key = [])] struct PriceChanged { sku: String }"#,
            "`key` names no field; an entity needs an id",
        ),
        (
            r#"#[event(context = "pricing", entity = "price", key = "skew")] struct PriceChanged { sku: String, at: u8 }"#,
            "there is no field `skew`; the fields are sku, at",
        ),
        (
            r#"#[event(context = "pricing", entity = "price", key = "sku", version = "v")] struct PriceChanged { sku: String }"#,
            "there is no field `v`; the fields are sku",
        ),
        (
            r#"#[event(context = "pri/cing", entity = "price", key = "sku")] struct PriceChanged { sku: String }"#,
            "the context \"pri/cing\" must be letters, digits, '-', '_' or '.', like \"pricing\"",
        ),
        (
            r#"#[event(contxt = "pricing")] struct PriceChanged { sku: String }"#,
            "unknown attribute; #[event(..)] knows context, entity, key, version, name, from or until",
        ),
        (
            r#"#[event(context = "a", context = "b")] struct PriceChanged { sku: String }"#,
            "`context` is given twice; keep one",
        ),
        (
            "enum PriceChanged { Up, Down }",
            "`PriceChanged` is an enum; a domain event is one fact: a struct with named fields",
        ),
        (
            "struct PriceChanged(u64);",
            "`PriceChanged` has no named fields; a domain event is one fact: a struct with named fields",
        ),
    ] {
        assert_eq!(refused(source), sentence, "{source}");
    }
}

#[test]
fn s22_a_command_or_a_table_change_does_not_compile() {
    for (name, because) in [
        ("UpdatePrice", "is a command"),
        ("price_row_updated", "is not UpperCamelCase"),
        ("PriceTable", "a table"),
    ] {
        let as_struct = format!(
            r#"#[event(context = "pricing", entity = "price", key = "sku")] struct {name} {{ sku: String }}"#
        );
        let as_attribute = format!(
            r#"#[event(context = "pricing", entity = "price", key = "sku", name = "{name}")] struct Fine {{ sku: String }}"#
        );
        for source in [as_struct, as_attribute] {
            let refusal = refused(&source);
            assert!(refusal.contains(because), "{source}: {refusal}");
        }
    }
}
