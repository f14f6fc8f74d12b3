//! What an event may be called: a business fact, neither a command nor the change of a table.

/// Verbs that, in front, turn a fact into a command or a row operation.
const COMMANDS: &[&str] = &[
    "Update",
    "Insert",
    "Upsert",
    "Delete",
    "Remove",
    "Create",
    "Set",
    "Invalidate",
    "Refresh",
    "Evict",
    "Purge",
    "Flush",
];

/// What a database does to a row.
const ROW_CHANGES: &[&str] = &["Inserted", "Updated", "Deleted"];

/// Words that name storage.
const STORAGE: &[&str] = &["Row", "Table"];

/// Says in one sentence why `name` is not a business fact; `None` if nothing speaks against it.
///
/// The list is short on purpose: it catches what people write by habit, and a false alarm on an honest name would cost
/// more trust than a missed one.
pub(crate) fn objection(name: &str) -> Option<String> {
    if !name.starts_with(|c: char| c.is_ascii_uppercase()) || !name.chars().all(|c| c.is_ascii_alphanumeric())
    {
        return Some(format!(
            "the event name `{name}` is not UpperCamelCase; write it like `BasePriceChanged`"
        ));
    }
    let words = words(name);
    let (first, last) = (words.first()?, words.last()?);
    if COMMANDS.contains(first) {
        return Some(format!(
            "the event name `{name}` is a command (`{first} ..`); name the business fact that happened, like `BasePriceChanged`"
        ));
    }
    let row_change = words.windows(2).any(|pair| match pair {
        [storage, change] => STORAGE.contains(storage) && ROW_CHANGES.contains(change),
        _ => false,
    });
    if row_change || STORAGE.contains(last) {
        return Some(format!(
            "the event name `{name}` speaks of a table, not of the business; name the fact that happened, like `BasePriceChanged`"
        ));
    }
    None
}

/// The words of an UpperCamelCase name; a run of capitals (`VAT`) is one word with what follows it.
fn words(name: &str) -> Vec<&str> {
    let bytes = name.as_bytes();
    let starts = (1..bytes.len()).filter(|&at| {
        let (before, here) = (bytes.get(at - 1), bytes.get(at));
        here.is_some_and(u8::is_ascii_uppercase) && before.is_some_and(|b| !b.is_ascii_uppercase())
    });
    let mut words = Vec::new();
    let mut begin = 0;
    for start in starts.chain([name.len()]) {
        words.extend(name.get(begin..start).filter(|word| !word.is_empty()));
        begin = start;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s22_names_of_facts_pass() {
        for name in [
            "BasePriceChanged",
            "PromotionActivated",
            "AvailableToSellAdjusted",
            "PriceEffectiveFromScheduled",
            "CustomerStatusRevoked",
            "SettlementReceived",
            "UpdatedTermsAccepted",
            "TableReserved",
            "VATRateSet",
            "Sold",
        ] {
            assert_eq!(objection(name), None, "{name}");
        }
    }

    #[test]
    fn s22_commands_table_changes_and_snake_case_are_refused() {
        for (name, because) in [
            ("UpdatePrice", "is a command (`Update ..`)"),
            ("InvalidatePrice", "is a command (`Invalidate ..`)"),
            ("RefreshListing", "is a command"),
            ("SetPrice", "is a command"),
            ("CreateOrder", "is a command"),
            ("Delete", "is a command"),
            ("PriceRow", "speaks of a table"),
            ("PriceTable", "speaks of a table"),
            ("PriceRowUpdated", "speaks of a table"),
            ("price_row_updated", "is not UpperCamelCase"),
            ("x_updated", "is not UpperCamelCase"),
            ("Price_Changed", "is not UpperCamelCase"),
            ("priceChanged", "is not UpperCamelCase"),
            ("", "is not UpperCamelCase"),
        ] {
            let objection = objection(name).unwrap_or_default();
            assert!(objection.contains(because), "{name}: {objection:?}");
        }
    }

    #[test]
    fn names_split_where_a_word_begins() {
        assert_eq!(words("BasePriceChanged"), ["Base", "Price", "Changed"]);
        assert_eq!(words("VATRateSet"), ["VATRate", "Set"]);
        assert_eq!(words("Sold"), ["Sold"]);
    }
}
