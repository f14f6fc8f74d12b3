//! What generated products are called.

/// A category with its range of prices.
#[derive(Debug, Clone, Copy)]
pub struct Category {
    /// Its name in addresses.
    pub slug: &'static str,
    /// What one of its products is.
    pub noun: &'static str,
    /// Lowest and highest price in euro cents.
    pub cents: (u32, u32),
}

const fn category(slug: &'static str, noun: &'static str, low: u32, high: u32) -> Category {
    Category { slug, noun, cents: (low, high) }
}

/// Everything that is sold.
pub const CATEGORIES: [Category; 40] = [
    category("backpacks", "Backpack", 2_900, 24_900),
    category("bed-linen", "Bed Linen Set", 2_400, 18_900),
    category("bicycles", "Bicycle", 29_900, 349_900),
    category("board-games", "Board Game", 1_200, 8_900),
    category("bookshelves", "Bookshelf", 3_900, 59_900),
    category("cameras", "Camera", 19_900, 329_900),
    category("coats", "Winter Coat", 7_900, 54_900),
    category("coffee-machines", "Coffee Machine", 4_900, 149_900),
    category("cookware", "Cookware Set", 3_900, 39_900),
    category("desk-lamps", "Desk Lamp", 1_900, 19_900),
    category("desks", "Standing Desk", 14_900, 99_900),
    category("dresses", "Dress", 2_900, 24_900),
    category("e-readers", "E-Reader", 8_900, 34_900),
    category("espresso-beans", "Espresso Beans", 700, 3_900),
    category("fragrances", "Eau de Parfum", 2_900, 21_900),
    category("garden-tools", "Garden Tool Set", 1_900, 16_900),
    category("gloves", "Gloves", 1_200, 11_900),
    category("headphones", "Headphones", 2_900, 49_900),
    category("hiking-boots", "Hiking Boots", 7_900, 34_900),
    category("jeans", "Jeans", 2_900, 19_900),
    category("keyboards", "Keyboard", 2_900, 29_900),
    category("kitchen-knives", "Kitchen Knife", 1_900, 24_900),
    category("laptops", "Laptop", 39_900, 349_900),
    category("luggage", "Suitcase", 5_900, 69_900),
    category("mattresses", "Mattress", 14_900, 149_900),
    category("monitors", "Monitor", 11_900, 129_900),
    category("notebooks", "Notebook", 400, 3_900),
    category("office-chairs", "Office Chair", 8_900, 119_900),
    category("phones", "Phone", 14_900, 149_900),
    category("running-shoes", "Running Shoes", 5_900, 24_900),
    category("skincare", "Face Cream", 900, 12_900),
    category("sofas", "Sofa", 39_900, 349_900),
    category("speakers", "Speaker", 3_900, 79_900),
    category("sunglasses", "Sunglasses", 2_400, 29_900),
    category("sweaters", "Sweater", 2_900, 27_900),
    category("tents", "Tent", 8_900, 89_900),
    category("toys", "Building Set", 1_500, 34_900),
    category("vacuum-cleaners", "Vacuum Cleaner", 7_900, 89_900),
    category("watches", "Watch", 4_900, 249_900),
    category("yoga-mats", "Yoga Mat", 1_500, 12_900),
];

pub(super) const BRANDS: [&str; 24] = [
    "Alder & Finch",
    "Arvika",
    "Belmonte",
    "Brightwater",
    "Casa Lume",
    "Corvus",
    "Dalgaard",
    "Eastmoor",
    "Fjordlys",
    "Granum",
    "Halden",
    "Kestrel",
    "Kinoko",
    "Larkspur",
    "Meridian",
    "Montclair",
    "Nordlund",
    "Oakhurst",
    "Pinhal",
    "Quayside",
    "Sablon",
    "Tamarack",
    "Umbria",
    "Yamori",
];

pub(super) const LINES: [&str; 20] = [
    "Apex", "Atlas", "Breeze", "Cinder", "Delta", "Ember", "Flow", "Glide", "Horizon", "Ivy", "Juno", "Kite",
    "Lumen", "Nova", "Orbit", "Pulse", "Ridge", "Summit", "Terra", "Vista",
];

pub(super) const COLOURS: [&str; 14] = [
    "Ash Grey",
    "Black",
    "Burgundy",
    "Clay",
    "Cobalt",
    "Cream",
    "Forest Green",
    "Indigo",
    "Mustard",
    "Navy",
    "Rose",
    "Sand",
    "Slate",
    "White",
];

pub(super) const QUALITIES: [&str; 10] = [
    "Carefully made",
    "Compact",
    "Dependable",
    "Everyday",
    "Hard-wearing",
    "Lightweight",
    "Quietly elegant",
    "Repairable",
    "Roomy",
    "Well-balanced",
];

pub(super) const BENEFITS: [&str; 10] = [
    "Made to last for years of daily use.",
    "Packs small and weighs little.",
    "Tested for a thousand hours before it leaves the workshop.",
    "Assembled from parts that can be replaced one by one.",
    "Chosen by our buyers as the best in its class.",
    "Comfortable from the first day.",
    "Designed with people who use it for a living.",
    "Uses half the material of last year's model.",
    "Works just as well in the rain.",
    "Comes in packaging without plastic.",
];

pub(super) const CARE: [&str; 6] = [
    "Two-year guarantee.",
    "Free returns within 30 days.",
    "Spare parts for ten years.",
    "Wipe clean with a damp cloth.",
    "Recyclable at the end of its life.",
    "Ships from the nearest warehouse.",
];
