//! Files that are moved away, or are none of SQLite.

use std::fs;

use super::*;

#[test]
fn a_file_that_was_moved_away_is_not_written_to() {
    let fixture = Fixture::new("moved", &[]);
    fixture.exec(None, "create table t (a)");
    assert_eq!(fixture.rows(None, "select * from t"), [[]; 0]);
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(fixture.dir.0.join(format!("{DEFAULT_FILE}{end}")));
    }
    assert_eq!(fixture.error(query("select * from t")), "no such table: t");
    fixture.exec(None, "create table t (a, b)");
    assert!(fixture.file().exists());
}

#[test]
fn a_file_that_is_no_database_is_an_error() {
    let fixture = Fixture::new("garbage", &[]);
    fs::write(fixture.file(), vec![b'x'; 10_000]).expect("written");
    assert_eq!(
        fixture.error(query("select * from t")),
        "file is not a database"
    );
    fs::remove_file(fixture.file()).expect("removed");
    fs::create_dir(fixture.file()).expect("made");
    let make = || fixture.error(exec("create table t (a)"));
    assert_eq!(
        make(),
        "the database cannot be reached: see the server's log"
    );
    fixture.set(&[("P_TEST_MODE", "1")]);
    let path = fixture.file().display().to_string();
    assert!(make().starts_with(&format!("cannot open {path}: ")));
}
