//! Arrays of every kind and state.

use proptest::prelude::*;

use super::*;
use crate::collect::testing::{Host, read};

const MDSTAT: &[u8] = b"Personalities : [raid0] [raid1] [raid6]
md3 : active raid6 sda1[8] sdh1[7] sdg1[6](S)
      100 blocks super 1.2 level 6, 64k chunk [8/7] [UUUUUUU_]
      bitmap: 0/30 pages [0KB], 65536KB chunk

md4 : inactive raid1 sda3[0](F) sdb3[1](S)
      200 blocks [2/2] [UU]

md6 : active raid1 sdb2[2](F) sda2[0]
      300 blocks [2/1] [U_]
      [=>...................]  recovery =  8.5% (25/300) finish=17.0min speed=259783K/sec

md9 : active (auto-read-only) raid1 sdc2[2] sdd2[3]
      400 blocks super 1.2 [2/2] [UU]
      resync=PENDING

md12 : active (read-only) raid0 sdc2[0] sdd2[1]
      500 blocks super 1.2 512k chunks

md13 : active faulty sde[0]
      600 blocks nfaults=0

md14 : active raid5 sdx[0]

unused devices: <none>
";

fn host() -> Host {
    Host::new(&[
        ("proc/mdstat", MDSTAT),
        ("sys/block/md3/md/level", b"raid6\n"),
        ("sys/block/md3/md/raid_disks", b"8 (7)\n"),
        ("sys/block/md3/md/degraded", b"1\n"),
        ("sys/block/md127/md/level", b"container\n"),
        ("sys/block/md127/md/raid_disks", b"0\n"),
        ("sys/block/md128/size", b"0\n"),
    ])
}

#[test]
fn arrays_disks_and_progress() {
    let reading = host().read("mdadm", &[]);
    let has = |line: &str| assert!(reading.lines.iter().any(|l| l == line), "{line}: {:#?}", reading.lines);
    has(r#"node_md_disks_required{device="md3"} 8"#);
    has(r#"node_md_disks{device="md3",state="active"} 7"#);
    has(r#"node_md_disks{device="md3",state="spare"} 1"#);
    has(r#"node_md_state{device="md3",state="active"} 1"#);
    has(r#"node_md_blocks_synced{device="md3"} 100"#);
    has(r#"node_md_disks_required{device="md4"} 0"#);
    has(r#"node_md_disks{device="md4",state="failed"} 1"#);
    has(r#"node_md_state{device="md4",state="inactive"} 1"#);
    has(r#"node_md_state{device="md6",state="recovering"} 1"#);
    has(r#"node_md_state{device="md6",state="active"} 0"#);
    has(r#"node_md_blocks_synced{device="md6"} 25"#);
    has(r#"node_md_state{device="md9",state="resync"} 1"#);
    has(r#"node_md_blocks_synced{device="md9"} 0"#);
    has(r#"node_md_disks_required{device="md12"} 2"#);
    has(r#"node_md_raid_disks{device="md3"} 8"#);
    has(r#"node_md_degraded{device="md3"} 1"#);
    has(r#"node_md_degraded{device="md127"} 0"#);
    assert!(!reading.lines.iter().any(|l| l.starts_with("node_md_raid_disks{device=\"md127\"")));
    assert!(!reading.lines.iter().any(|l| l.starts_with("node_md_disks_required{device=\"md13\"")));
    assert_eq!(reading.faults.len(), 2, "{:?}", reading.faults);
}

#[test]
fn arrays_come_and_go() {
    let host = host();
    let mut mdadm = host.build("mdadm", &[]);
    read(&mut *mdadm);
    host.write("proc/mdstat", b"Personalities :\nunused devices: <none>\n");
    std::fs::remove_dir_all(host.path().join("sys/block/md3")).unwrap();
    assert_eq!(read(&mut *mdadm).lines, [r#"node_md_degraded{device="md127"} 0"#]);
    assert!(matches!(Host::new(&[]).read("mdadm", &[]).error, Some(Error::Absent(_))));
}

#[test]
fn a_check_and_a_reshape() {
    let text =
        |action: &str| format!("md0 : active raid5 a[0] b[1]\n      9 blocks [2/2] [UU]\n      [>...] {action}\n");
    let state = |action: &str| {
        let text = text(action);
        let text = Text { path: Path::new(""), bytes: text.as_bytes() };
        let arrays = parse(&text);
        (arrays[0].state.to_string(), arrays[0].synced)
    };
    assert_eq!(state("check =  5.7% (3/9) finish=0.2min"), ("check".into(), Some(3.0)));
    assert_eq!(state("reshape = 10.0% (1/9) finish=1min"), ("reshape".into(), Some(1.0)));
    assert_eq!(state("resync=DELAYED"), ("resync".into(), Some(0.0)));
    assert_eq!(state("recovery = ?"), ("recovering".into(), None));
}

proptest! {
    #[test]
    fn any_text_is_survived(text: Vec<u8>, cut in 0..MDSTAT.len()) {
        for bytes in [&text[..], &MDSTAT[..cut], &[&MDSTAT[..cut], &text].concat()] {
            let text = Text { path: Path::new(""), bytes };
            parse(&text).iter().for_each(|array| array.put(&text, &mut Sink::default()));
        }
    }
    #[test]
    fn pairs_round_trip(a: u32, b: u32) {
        prop_assert_eq!(pair(format!("({a}/{b})").as_bytes(), b'(', b')'), Some((a.into(), b.into())));
    }
}
