//! Every row is handed out once, in whatever order threads ask.

use super::Parts;
use candor_core::tensor::{Element, Halo, Layout, RowsMut};
use std::sync::Mutex;

#[test]
fn every_row_is_taken_once_and_a_thread_begins_with_its_own() {
    let layout = Layout::packed(11, 5, 3, Halo::default(), Element::Code);
    for (count, parts, threads) in [(11, 2, 2), (11, 4, 2), (1, 4, 2), (7, 7, 3), (11, 64, 64), (3, 2, 5)] {
        let mut data = vec![0; layout.bytes()];
        let mut rows = RowsMut::whole(layout, &mut data);
        if count < 11 {
            rows = rows.split_at(count).0;
        }
        let cut = Parts::new(rows, parts);
        let firsts = Mutex::new(vec![usize::MAX; threads]);
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let (cut, firsts) = (&cut, &firsts);
                scope.spawn(move || {
                    cut.take_all(thread, threads, &|mut part| {
                        let mut firsts = firsts.lock().unwrap();
                        firsts[thread] = firsts[thread].min(part.first);
                        for row in part.first..part.first + part.count {
                            part.row_mut(row).iter_mut().for_each(|byte| *byte += 1);
                        }
                    });
                });
            }
        });
        let used = (count - 1) * layout.row_stride + layout.row_bytes();
        assert!(data[..used].iter().all(|&byte| byte == 1), "{count} rows, {parts} parts");
        assert!(data[used..].iter().all(|&byte| byte == 0), "{count} rows, {parts} parts");
    }
    let mut data = vec![0; layout.bytes()];
    let cut = Parts::new(RowsMut::whole(layout, &mut data), 2);
    let order = Mutex::new(Vec::new());
    cut.take_all(1, 2, &|part| order.lock().unwrap().push(part.first));
    assert_eq!(order.into_inner().unwrap(), [5, 0]);
}
