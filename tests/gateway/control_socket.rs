//! Where the control socket lies, and what it replaces there.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};

use crate::admin_side::cli;
use crate::harness::{self, Gateway};

/// A second gateway that shall start in the first one's folder, with its control socket there.
fn start_beside(gw: &Gateway, control: &str) -> (bool, String) {
    let yaml = fs::read_to_string(gw.home().join("gateway.yaml")).expect("it runs on it");
    let yaml = yaml.replace("${PROXY}", "127.0.0.1:0").replace("\"${ADMIN}\"", "\"127.0.0.1:0\"");
    let yaml = yaml.replace("listen:\n", &format!("listen:\n  control: {control}\n"));
    fs::write(gw.home().join("second.yaml"), yaml).expect("writable");
    cli(gw, &["serve", "--config", "second.yaml"])
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_nothing_else_is() {
    let gw = harness::gateway("").await;
    let before = fs::symlink_metadata(gw.control_path()).expect("it is there");
    fs::write(gw.home().join("notes.txt"), "precious").expect("writable");
    symlink(gw.control_path(), gw.home().join("link.sock")).expect("writable");

    let (started, said) = start_beside(&gw, "data/portcullis.sock");
    assert!(!started && said.contains("another gateway answers there"), "{said}");
    for other in ["notes.txt", "link.sock"] {
        let (started, said) = start_beside(&gw, other);
        assert!(!started && said.contains("something that is no socket lies there"), "{other}: {said}");
    }
    assert_eq!(fs::read_to_string(gw.home().join("notes.txt")).expect("still there"), "precious");
    let (started, said) = start_beside(&gw, "/proc/portcullis.sock");
    assert!(!started && said.contains("opening the control socket /proc/portcullis.sock"), "{said}");

    gw.restart().await;
    let after = fs::symlink_metadata(gw.control_path()).expect("it is there again");
    assert_ne!(before.modified().ok(), after.modified().ok(), "what the killed one left is replaced");
    assert!(cli(&gw, &["reload"]).0);
    gw.signal("TERM");
    assert!(gw.end().await.success());
    assert!(!gw.control_path().exists(), "a gateway that ends takes its socket away");
}

#[tokio::test]
async fn a_folder_that_another_process_keeps_locked_ends_the_start_with_a_word() {
    let gw = harness::gateway("").await;
    let folder = gw.home().join("locked");
    fs::create_dir(&folder).expect("writable");
    let lock = fs::File::open(&folder).expect("it is there");
    lock.lock().expect("no other has it");

    let (started, said) = start_beside(&gw, "locked/portcullis.sock");

    assert!(!started && said.contains("has kept the folder") && said.contains("listen.control"), "{said}");
    assert!(!folder.join("portcullis.sock").exists());
    drop(lock);
}

#[tokio::test]
async fn a_control_socket_elsewhere_is_found_by_the_file() {
    let listen = r#"
        listen:
          proxy: [{ address: "${PROXY}" }]
          admin: "${ADMIN}"
          control: run/gate.sock
    "#;
    let gw = harness::gateway(listen).await;

    assert!(!gw.control_path().exists());
    let found = fs::symlink_metadata(gw.home().join("run/gate.sock")).expect("beside the file");
    assert!(found.file_type().is_socket());
    assert_eq!(fs::metadata(gw.home().join("run")).expect("a folder").permissions().mode() & 0o777, 0o700);
    let config = gw.home().join("gateway.yaml");
    let mut elsewhere = gw.command(env!("CARGO_BIN_EXE_portcullis"));
    elsewhere.current_dir("/").args(["reload", "--config"]).arg(config);
    let output = elsewhere.output().expect("it was built");
    assert!(output.status.success(), "{output:?}");
}
