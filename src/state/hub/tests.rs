use super::*;

fn select(hub: &mut Hub, app: &str, spec: &str) -> Vec<u32> {
    let (mut cursor, mut out) = (Cursor::default(), Vec::new());
    let spec = Spec::Text(spec.into());
    while !hub
        .select(app, &spec, &mut cursor, &mut 3, &mut out)
        .expect("short patterns")
    {}
    out.sort_unstable();
    out.dedup();
    out
}

fn names(hub: &Hub, app: &str) -> Vec<String> {
    hub.users(app, 0)
        .map(|(_, user, _)| user.to_owned())
        .collect()
}

#[test]
fn patterns_select_their_members() {
    let mut hub = Hub::default();
    for (key, user) in ["u1", "u2", "group1/1", "group1/2", "u1", "", "group10"]
        .iter()
        .enumerate()
    {
        hub.join(key as u32, "a", user, false);
    }
    hub.join(9, "b", "u1", false);
    hub.check();
    for (spec, want) in [
        ("u1", &[0, 4][..]),
        ("u2,u1", &[0, 1, 4]),
        ("u1,u*", &[0, 1, 4]),
        ("*", &[0, 1, 2, 3, 4, 5, 6]),
        ("group1/*", &[2, 3]),
        ("g*1", &[2]),
        ("?[!2]", &[0, 4]),
        ("", &[5]),
        ("nobody", &[]),
        ("u2,,", &[1, 5]),
    ] {
        assert_eq!(select(&mut hub, "a", spec), want, "{spec:?}");
    }
    assert_eq!(select(&mut hub, "none", "*"), &[] as &[u32]);
    let one = Spec::List(vec!["u1,u2".into(), "u2".into()]);
    let mut out = Vec::new();
    assert_eq!(
        hub.select("a", &one, &mut Cursor::default(), &mut 99, &mut out),
        Ok(true)
    );
    assert_eq!(out, [1]);
    let wild = Spec::Text(format!("*[{}]", "[:".repeat(GLOB_BYTES_MAX / 2)).into());
    assert!(
        hub.select("a", &wild, &mut Cursor::default(), &mut 99, &mut out)
            .is_err()
    );
    // What a turn may spend on brackets is a few names, not all.
    hub.join(10, "c", &"n".repeat(1_000), false);
    hub.join(11, "c", &"o".repeat(1_000), false);
    let wild = Spec::Text(format!("*[{}]", "[:".repeat(GLOB_BYTES_MAX / 2 - 2)).into());
    let mut budget = 20_000;
    let done = hub.select("c", &wild, &mut Cursor::default(), &mut budget, &mut out);
    assert_eq!((done, budget), (Ok(false), 0));
    let long = Spec::Text("x".repeat(PATTERN_BYTES_MAX + 1).into());
    assert!(
        hub.select("a", &long, &mut Cursor::default(), &mut 99, &mut out)
            .is_err()
    );
}

#[test]
fn a_member_that_moves_keeps_its_place() {
    let mut hub = Hub::default();
    hub.join(0, "a", "x", false);
    hub.join(1, "a", "y", false);
    hub.join(0, "a", "z", false);
    assert_eq!(names(&hub, "a"), ["z", "y"]);
    hub.join(2, "b", "late", false);
    hub.join(0, "b", "z", true);
    assert_eq!(names(&hub, "b"), ["z", "late"]);
    assert_eq!(names(&hub, "a"), ["y"]);
    hub.leave(1);
    assert_eq!((hub.count("a"), hub.member(1)), (0, None));
    assert_eq!(hub.member(0), Some(("b", "z")));
    hub.check();
}

#[test]
fn random_joins_and_leaves_agree_with_a_model() {
    let (mut hub, mut model) = (Hub::default(), BTreeMap::<u32, (String, String)>::new());
    let mut seed = 7u64;
    let mut next = |n: u64| {
        seed = seed
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (seed >> 33) % n
    };
    for step in 0..5_000 {
        let key = next(300) as u32;
        if next(3) == 0 {
            hub.leave(key);
            model.remove(&key);
        } else {
            let (app, user) = (
                format!("a{}", next(3)),
                format!("g{}/{}", next(4), next(40)),
            );
            hub.join(key, &app, &user, false);
            model.insert(key, (app, user));
        }
        if step % 50 == 0 {
            hub.check();
            for spec in ["*", "g1/*", "g2/7", "g?/1*", "g1/1,g1/*"] {
                let want: Vec<u32> = model
                    .iter()
                    .filter(|(_, (app, user))| {
                        app == "a1" && spec.split(',').any(|p| Pattern::new(p).matches(user))
                    })
                    .map(|(&k, _)| k)
                    .collect();
                assert_eq!(select(&mut hub, "a1", spec), want, "step {step}, {spec}");
            }
        }
    }
}

#[test]
fn a_name_is_found_without_a_walk() {
    let mut hub = Hub::default();
    for key in 0..100_000 {
        hub.join(key, "a", &format!("u{key}"), false);
    }
    for (spec, budget) in [("u77777", 2), ("u7777*", 13), ("u1,u2,u3", 4)] {
        let spec = Spec::Text(spec.into());
        let (mut left, mut out) = (budget, Vec::new());
        assert_eq!(
            hub.select("a", &spec, &mut Cursor::default(), &mut left, &mut out),
            Ok(true)
        );
    }
}
