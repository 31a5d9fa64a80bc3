use super::*;

#[test]
fn a_caller_may_what_its_grants_give_on_the_whole_block() {
    let store = StoreId::from("orders");
    let block = |text: &str| text.parse::<Block>().expect("a block");
    let grant =
        |store: &str, name: &str, access| Grant { store: StoreId::from(store), block: block(name), access };
    let caller = Caller {
        service: ServiceId::from("checkout"),
        grants: vec![
            grant("orders", "*", Access::READ),
            grant("orders", "order:", Access::WRITE),
            grant("users", "*", Access::ALL),
        ],
        holder: None,
    };
    let rows = [
        ("orders", "*", Access::READ),
        ("orders", "user:", Access::READ),
        ("orders", "order", Access::READ),
        ("orders", "order:", Access::READ | Access::WRITE),
        ("orders", "order:17", Access::READ | Access::WRITE),
        ("users", "order:", Access::ALL),
        ("carts", "order:", Access::NONE),
    ];
    for (name, part, access) in rows {
        assert_eq!(caller.may(&StoreId::from(name), &block(part)), access, "{name} {part}");
    }
    let nobody = Caller { grants: Vec::new(), ..caller };
    assert!(nobody.may(&store, &Block::ALL).is_empty());
}
