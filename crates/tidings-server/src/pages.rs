//! The pages of `docs/errors`, carried in the binary.

macro_rules! pages {
    ($($id:literal)*) => {
        &[$(($id, include_str!(concat!("../../../docs/errors/", $id, ".md")))),*]
    };
}

const PAGES: &[(&str, &str)] = pages! {
    "TD1001" "TD1002" "TD1003" "TD1004" "TD1005" "TD1006" "TD1007" "TD1008" "TD1009" "TD1010" "TD1011"
    "TD1012"
    "TD2001" "TD2002" "TD2003" "TD2004" "TD2005" "TD2006" "TD2007" "TD2008" "TD2009" "TD2010" "TD2011"
    "TD3001" "TD3002" "TD3003" "TD3004"
    "TD4001" "TD4002" "TD4003" "TD4004" "TD4005" "TD4006" "TD4007"
    "TD5001" "TD5002" "TD5003" "TD5004" "TD5005" "TD5006" "TD5007" "TD5008" "TD5009" "TD5010" "TD5011"
    "TD5012" "TD5013"
    "TD6001" "TD6002" "TD6003" "TD6004" "TD6005" "TD6006" "TD6007" "TD6008" "TD6009"
    "TD7001" "TD7002" "TD7003" "TD7004" "TD7005" "TD7006" "TD7007" "TD7008" "TD7009" "TD7010" "TD7011" "TD7012"
    "TD9001"
};

/// The page of this code; the case of the letters does not matter.
pub(crate) fn of(id: &str) -> Option<&'static str> {
    PAGES.iter().find(|(known, _)| known.eq_ignore_ascii_case(id)).map(|(_, page)| *page)
}

/// Every code with the title of its page.
pub(crate) fn titles() -> impl Iterator<Item = (&'static str, &'static str)> {
    PAGES.iter().map(|(id, page)| {
        let title = page.lines().next().unwrap_or_default();
        (*id, title.split_once(": ").map_or(title, |(_, title)| title))
    })
}

#[cfg(test)]
mod tests {
    use tidings_core::Code;

    #[test]
    fn every_code_has_its_page_and_the_other_way_round() {
        let codes: Vec<_> = Code::ALL.iter().map(|code| code.id()).collect();
        let pages: Vec<_> = super::titles().map(|(id, _)| id).collect();
        assert_eq!(codes, pages);
        for id in codes {
            assert!(super::of(id).unwrap().starts_with(&format!("# {id}: ")), "{id}");
        }
    }
}
