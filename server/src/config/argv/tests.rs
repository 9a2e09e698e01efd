//! The command line read as Go's flag package and etcd read it.
#![allow(clippy::unwrap_used)]

use super::{Request, Settings, read};

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn vars(pairs: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    let owned: Vec<_> = pairs
        .iter()
        .map(|(k, v)| (k.to_string(), v.to_string()))
        .collect();
    owned.into_iter()
}

fn settings(args: &str, env: &[(&str, &str)]) -> Settings {
    match read(&words(args), vars(env)).unwrap() {
        Request::Run(settings) => settings,
        other => panic!("{other:?}"),
    }
}

fn error(args: &str) -> String {
    read(&words(args), vars(&[])).unwrap_err().to_string()
}

#[test]
fn one_dash_or_two_equals_or_blank_are_the_same() {
    for args in [
        "--name n1",
        "-name n1",
        "--name=n1",
        "-name=n1",
        "-name x --name n1",
    ] {
        let settings = settings(args, &[]);
        assert_eq!(settings.values["name"].value, "n1", "{args}");
    }
    assert_eq!(settings("--name=a=b", &[]).values["name"].value, "a=b");
    assert_eq!(settings("--name --odd", &[]).values["name"].value, "--odd");
}

#[test]
fn a_flag_beats_its_variable_and_an_empty_variable_is_none() {
    let env = [
        ("ETCD_NAME", "fromenv"),
        ("ETCD_DATA_DIR", ""),
        ("PATH", "/bin"),
    ];
    let only_env = settings("", &env);
    assert_eq!(only_env.values["name"].value, "fromenv");
    assert_eq!(only_env.origin("name"), "ETCD_NAME");
    assert!(!only_env.values.contains_key("data-dir"));
    let both = settings("--name flag", &env);
    assert_eq!(both.values["name"].value, "flag");
    assert!(
        both.notes[0].contains("ETCD_NAME is not used"),
        "{:?}",
        both.notes
    );
}

#[test]
fn a_variable_of_no_flag_is_a_warning_only() {
    let settings = settings("", &[("ETCD_PORT_2379_TCP", "tcp://10.0.0.1:2379")]);
    assert!(settings.values.is_empty());
    assert!(settings.notes[0].contains("ETCD_PORT_2379_TCP"));
}

#[test]
fn unknown_flags_and_stray_words_are_errors_that_name_them() {
    for (args, why) in [
        ("--nmae x", "unknown flag --nmae"),
        ("name", "\"name\" is not a flag"),
        ("--name x y", "\"y\" is not a flag"),
        ("--name", "--name needs a value"),
        ("--pre-vote false", "\"false\" is not a flag"),
        ("--", "not a flag"),
        ("---name x", "not well formed"),
        ("--=x", "not well formed"),
        (
            "--experimental-watch-progress-notify-interval 1m",
            "use --watch-progress-notify-interval",
        ),
        ("--enable-v2=false", "went away"),
    ] {
        let error = error(args);
        assert!(
            error.contains(why) && !error.contains('\n'),
            "{args}: {error}"
        );
    }
}

#[test]
fn flags_of_etcd_that_are_missing_here_are_told_apart_from_unknown_ones() {
    for args in [
        "--cert-file a.pem",
        "--client-cert-auth",
        "--discovery-srv x",
    ] {
        let error = error(args);
        assert!(
            error.contains("is a flag of etcd that is not supported"),
            "{args}: {error}"
        );
    }
    assert!(error("--auto-tls=maybe").contains("true or false"));
}

#[test]
fn defaults_of_etcd_pass_silently_and_the_rest_with_a_warning() {
    let quiet = settings("--cert-file= --auto-tls=false --pre-vote --max-wals 5", &[]);
    assert_eq!(quiet, Settings::default());
    let noted = settings("--max-wals 9 --pre-vote=false --unsafe-no-fsync", &[]);
    assert_eq!(noted.notes.len(), 3, "{:?}", noted.notes);
    assert!(noted.values.is_empty());
}

#[test]
fn feature_gates_are_known_by_name() {
    assert_eq!(
        settings("--feature-gates InitialCorruptCheck=true", &[])
            .notes
            .len(),
        1
    );
    assert!(error("--feature-gates InitialCorruptCheq=true").contains("unknown feature gate"));
    assert!(error("--feature-gates InitialCorruptCheck").contains("=true or =false"));
}

#[test]
fn help_and_version_come_before_everything_else() {
    for args in ["-h", "--help", "-help", "--name x --help"] {
        assert_eq!(read(&words(args), vars(&[])).unwrap(), Request::Help);
    }
    assert_eq!(
        read(&words("--version"), vars(&[])).unwrap(),
        Request::Version
    );
    assert!(matches!(
        read(&words("--version=false"), vars(&[])).unwrap(),
        Request::Run(_)
    ));
}
