//! Rates and sizes of the model.
use super::*;

#[test]
fn the_largest_supported_cluster_is_as_its_thresholds_say() {
    let model = Model::of_nodes(5000);
    assert_eq!(model.pods, 150_000);
    assert_eq!(model.apps(), 10_000);
    assert!((model.changes - 20.0).abs() < 1e-9);
    let leases = model.writes()[0].2;
    assert!((485.0..=500.0).contains(&leases), "{leases}");
    // 10 replaced pods a second, 19 writes each, beside leases and status.
    let rest = model.writes_per_second() - leases - 5000.0 / 300.0;
    assert!((rest - 190.0).abs() < 1e-6, "{rest}");
}

#[test]
fn a_cluster_without_pods_only_breathes() {
    let model = Model {
        pods: 0,
        changes: 100.0,
        ..Model::of_nodes(300)
    };
    assert_eq!(model.apps(), 0);
    let expected = 300.0 / 10.2 + 1.0;
    assert!((model.writes_per_second() - expected).abs() < 1e-6);
}
