//! Every message, and that the table, the parser, the schema and the example tell the same.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::table::{Absence, Field, Kind, ROOT};
use super::*;

/// The diagnostics as the cases have them. `ROOT` stands for the list of the root's fields.
fn lines(diagnostics: &[Diagnostic]) -> Vec<String> {
    let root = fields(&ROOT)
        .iter()
        .map(|field| field.name)
        .collect::<Vec<_>>()
        .join(", ");
    let line = |diagnostic: &Diagnostic| {
        diagnostic
            .to_string()
            .replace("cluster.yaml:", "")
            .replace(&root, "ROOT")
    };
    diagnostics.iter().map(line).collect()
}

fn errors(spec: &str) -> Vec<Diagnostic> {
    parse("cluster.yaml", spec).map_or_else(|errors| errors.diagnostics().to_vec(), |_| Vec::new())
}

fn cluster(spec: &str) -> Cluster {
    parse("cluster.yaml", spec)
        .unwrap_or_else(|errors| panic!("{spec}\n{errors}"))
        .cluster
}

fn fields(kind: &Kind) -> &'static [Field] {
    match kind {
        Kind::Object(fields) => fields,
        Kind::List { item, .. } => fields(item),
        Kind::Text(_) => &[],
    }
}

#[test]
fn cases() {
    let cases = include_str!("cases.txt")
        .split("\n\n")
        .skip(1)
        .filter(|case| !case.starts_with("##"));
    for case in cases {
        let is_spec = |line: &&str| !line.starts_with("=> ") && !line.starts_with("~> ");
        let spec = case.lines().take_while(is_spec).collect::<Vec<_>>().join("\n");
        let expected: Vec<_> = case.lines().skip_while(is_spec).collect();
        let (mark, diagnostics) = match parse("cluster.yaml", &spec) {
            Ok(parsed) => ("~> ", parsed.warnings),
            Err(errors) => ("=> ", errors.diagnostics().to_vec()),
        };
        let found: Vec<_> = lines(&diagnostics)
            .into_iter()
            .map(|line| format!("{mark}{line}"))
            .collect();
        assert_eq!(found, expected, "{spec}");
    }
}

#[test]
fn a_nul_is_located() {
    assert_eq!(
        lines(&errors("hosts:\n- name: é\0")),
        ["2:10: the file holds a NUL character; it must be plain UTF-8 text"]
    );
}

#[test]
fn errors_of_all_kinds_come_at_once_and_in_order() {
    let spec = "\
clusterName: Prod
hosts:
- name: ../m1
  addresses: [10.0.0.999]
  role: [etcd]
- adresses: [10.0.0.1]
layout: kubespray
caKeys: [all]
layout: document
";
    let places: Vec<_> = errors(spec)
        .into_iter()
        .map(|error| (error.line, error.column, error.field))
        .collect();
    let expected = [
        (1, 14, "clusterName"),
        (3, 9, "hosts[0].name"),
        (4, 15, "hosts[0].addresses[0]"),
        (5, 3, "hosts[0].role"),
        (6, 3, "hosts[1].adresses"),
        (6, 3, "hosts[1].name"),
        (6, 3, "hosts[1].addresses"),
        (7, 9, "layout"),
        (8, 9, "caKeys"),
        (9, 1, "layout"),
    ];
    assert_eq!(
        places,
        expected.map(|(line, column, field)| (line, column, field.to_owned()))
    );
}

#[test]
fn a_large_file_is_refused() {
    let spec = "#".repeat((8 << 20) + 1);
    assert_eq!(
        lines(&errors(&spec)),
        ["1:1: the file is larger than 8 MiB; a spec is far smaller"]
    );
}

#[test]
fn an_empty_spec_is_one_host() {
    let hours = jiff::SignedDuration::from_hours;
    let expected = Cluster {
        name: "kubernetes".into(),
        dns_domain: DnsName::new("cluster.local").unwrap(),
        service_subnets: vec!["10.96.0.0/12".parse().unwrap()],
        endpoint: Endpoint {
            host: HostOrIp::Ip([127, 0, 0, 1].into()),
            port: 6443,
        },
        api_server_port: 6443,
        extra_sans: vec![],
        hosts: vec![Host {
            name: DnsName::new("node-1").unwrap(),
            addresses: vec![[127, 0, 0, 1].into()],
            names: vec![],
            roles: vec![Role::ControlPlane, Role::Etcd, Role::Worker],
        }],
        layout: Layout::Document,
        authorities: Authorities {
            mode: AuthorityMode::Separate,
            brought: [].into(),
        },
        ca_keys: CaKeyPlacement::All,
        kubelets: Kubelets {
            serving: KubeletServing::None,
            client: KubeletClient::Bootstrap,
        },
        kubeconfigs: Kubeconfigs {
            components: Credentials::Layout,
            admin: Credentials::Embedded,
        },
        key_algorithm: KeyAlgorithm::EcdsaP256,
        validity: Validity {
            ca: hours(87_600),
            kubelet_ca: hours(43_800),
            server: hours(8_760),
            client: hours(8_760),
            bootstrap_token: hours(720),
        },
        renew_before: None,
        backdate: jiff::SignedDuration::from_mins(5),
        subject: SubjectExtras::default(),
        paths: InstallPaths {
            kubernetes: "/etc/kubernetes".into(),
            etcd: "/etc/etcd".into(),
            kubelet: "/var/lib/kubelet".into(),
            etcd_data: "/var/lib/etcd".into(),
        },
    };
    for spec in [
        "",
        "# nothing\n",
        "---\n",
        "~",
        "{}",
        "hosts:\nnetworking: null\nauthorities: {mode: , bring: ~}\n",
    ] {
        let parsed = parse("cluster.yaml", spec).unwrap();
        assert_eq!(
            parsed,
            Parsed {
                cluster: expected.clone(),
                warnings: vec![]
            },
            "{spec:?}"
        );
    }
}

#[test]
fn every_value_arrives() {
    let spec = "\
controlPlaneEndpoint: '[2001:db8::1]:443'
extraSANs: ['*.example.org', ::1]
hosts:
- {name: e1, addresses: [10.0.0.3], roles: [etcd]}
- {name: m1, addresses: [10.0.0.1, 2001:db8::11], names: [1st.example.org], roles: [worker, control-plane]}
authorities:
  bring:
    frontProxy: {certificate: a, chain: c}
    etcd: {certificate: b, key: k}
renewBefore: 1w2d3h4m5s
backdate: 0s
subject: {country: NO, state: '1', locality: Tromsø}
paths: {etcd: //opt//etcd/}
";
    let cluster = cluster(spec);
    assert_eq!(cluster.endpoint.host, HostOrIp::Ip("2001:db8::1".parse().unwrap()));
    assert_eq!(cluster.endpoint.port, 443);
    assert_eq!(
        cluster.extra_sans,
        [
            HostOrIp::Name("*.example.org".into()),
            HostOrIp::Ip("::1".parse().unwrap())
        ]
    );
    let m1 = cluster.host("m1").unwrap();
    assert_eq!(m1.address().to_string(), "10.0.0.1");
    assert_eq!(m1.names, [DnsName::new("1st.example.org").unwrap()]);
    assert_eq!(
        m1.roles,
        [Role::ControlPlane, Role::Worker],
        "sorted, and etcd has a host of its own"
    );
    let brought = |certificate: &str, key: Option<&str>, chain: Option<&str>| BroughtCa {
        certificate: certificate.into(),
        key: key.map(Into::into),
        chain: chain.map(Into::into),
    };
    let expected = [
        (Authority::Etcd, brought("b", Some("k"), None)),
        (Authority::FrontProxy, brought("a", None, Some("c"))),
    ];
    assert_eq!(cluster.authorities.brought, expected.into());
    assert_eq!(
        cluster.renew_before.unwrap().as_secs(),
        ((9 * 24 + 3) * 60 + 4) * 60 + 5
    );
    assert!(cluster.backdate.is_zero());
    assert_eq!(
        cluster.subject.country.as_deref(),
        Some("NO"),
        "text, whatever YAML 1.1 makes of it"
    );
    assert_eq!(cluster.subject.state.as_deref(), Some("1"));
    assert_eq!(cluster.paths.etcd.as_os_str(), "/opt/etcd");
}

#[test]
fn endpoints() {
    let endpoint = |text: &str| {
        let Endpoint { host, port } = cluster(&format!("controlPlaneEndpoint: '{text}'")).endpoint;
        format!("{host} {port}")
    };
    assert_eq!(endpoint("api.example.org"), "api.example.org 6443");
    assert_eq!(endpoint("api.example.org:443"), "api.example.org 443");
    assert_eq!(endpoint("192.0.2.1:443"), "192.0.2.1 443");
    assert_eq!(endpoint("2001:db8::1"), "2001:db8::1 6443");
    assert_eq!(endpoint("[2001:db8::1]"), "2001:db8::1 6443");
}

#[test]
fn etcd_is_stacked_unless_it_has_hosts() {
    let cluster = cluster(
        "hosts: [{name: w, addresses: [10.0.0.2]}, {name: m, addresses: [10.0.0.1], roles: [control-plane, worker]}]",
    );
    assert_eq!(
        cluster.host("m").unwrap().roles,
        [Role::ControlPlane, Role::Etcd, Role::Worker]
    );
    assert_eq!(cluster.host("w").unwrap().roles, [Role::Worker]);
    assert_eq!(
        cluster.endpoint.host,
        HostOrIp::Ip([10, 0, 0, 1].into()),
        "the first control-plane host"
    );
}

/// A place for a value in an otherwise minimal spec.
type Place<'a> = &'a dyn Fn(&str) -> String;

/// Calls `visit` with each field below `kind`: its path, the field, its place, and the schema of the object it is in.
fn each_field(
    kind: &Kind,
    path: &str,
    place: Place,
    schema: &serde_json::Value,
    visit: &mut dyn FnMut(&str, &Field, Place, &serde_json::Value),
) {
    for field in fields(kind) {
        let siblings = fields(kind)
            .iter()
            .filter(|other| other.name != field.name && matches!(other.absence, Absence::Required))
            .map(|other| format!("{}: {}, ", other.name, other.example))
            .collect::<Vec<_>>()
            .concat();
        let inside = |value: &str| place(&format!("{{{siblings}{}: {value}}}", field.name));
        let path = format!("{path}{}", field.name);
        visit(&path, field, &inside, schema);

        let inner = &schema["properties"][field.name];
        match field.kind {
            Kind::Object(_) => each_field(&field.kind, &format!("{path}."), &inside, inner, visit),
            Kind::List { .. } => {
                // The hosts: one that makes the cluster valid, and the one that is visited.
                let master = "{name: zz, addresses: [10.0.0.9], roles: [control-plane]}";
                let item = |value: &str| inside(&format!("[{master}, {value}]"));
                each_field(&field.kind, &format!("{path}[1]."), &item, &inner["items"], visit);
            }
            Kind::Text(_) => {}
        }
    }
}

#[test]
fn the_table_the_parser_and_the_schema_agree() {
    let mut paths = Vec::new();
    each_field(
        &ROOT,
        "",
        &str::to_owned,
        &json_schema(),
        &mut |path, field, place, object| {
            paths.push(path.to_owned());
            let errors_here = |value: &str| {
                let spec = place(value);
                errors(&spec)
                    .into_iter()
                    .filter(|error| error.field.starts_with(path))
                    .count()
            };
            let schema = &object["properties"][field.name];
            assert_eq!(object["additionalProperties"], false, "{path}");
            assert!(schema["description"].as_str().unwrap().starts_with(field.doc), "{path}");
            assert!(field.doc.ends_with('.'), "{path}");

            let required = object["required"]
                .as_array()
                .is_some_and(|names| names.iter().any(|name| name == field.name));
            assert_eq!(required, matches!(field.absence, Absence::Required), "{path}");
            assert_eq!(errors_here("~") > 0, required, "{path}");
            assert_eq!(schema["type"].is_array(), !required, "{path}");

            if let Absence::Default(default) = field.absence {
                assert_eq!(cluster(&place(default)), cluster(&place("~")), "{path}");
                assert!(!schema["default"].is_null(), "{path}");
            }
            if matches!(field.kind, Kind::Text(_)) {
                assert!(!field.example.is_empty(), "{path}");
            }
            if let Kind::Text(format)
            | Kind::List {
                item: Kind::Text(format),
                ..
            } = &field.kind
            {
                let list = matches!(field.kind, Kind::List { .. });
                let value = |text: &str| if list { format!("[{text}]") } else { text.to_owned() };
                assert_eq!(errors_here(field.example), 0, "{path}");
                assert!(errors_here(&value("{}")) > 0, "{path}");

                let schema = if list { &schema["items"] } else { schema };
                assert_eq!(schema["pattern"].as_str(), format.pattern, "{path}");
                let names: Vec<_> = format.choices.iter().map(|choice| choice.name).collect();
                let listed: Vec<_> = schema["enum"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|name| name.as_str())
                    .collect();
                assert_eq!(listed, names, "{path}");
                for name in &names {
                    assert_eq!(errors_here(&value(name)), 0, "{path}: {name}");
                }
                if !names.is_empty() {
                    assert!(errors_here(&value("bogus")) > 0, "{path}");
                }
            }
        },
    );
    for path in ["clusterName", "hosts[1].roles", "authorities.bring.single.chain"] {
        assert!(paths.iter().any(|visited| visited == path), "{path}");
    }
}

#[test]
fn the_example_shows_every_field() {
    let example = example();
    let parsed = parse("cluster.yaml", &example).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(parsed.warnings, []);
    assert_eq!(parsed.cluster.hosts.len(), 5);

    // A doc has a space after its `#`; the values listed below it have three.
    let uncomment = |line: &str| {
        let commented_out = |rest: &str| !rest.starts_with(' ') || (rest.starts_with("  ") && !rest.starts_with("   "));
        match line.split_once('#') {
            Some((margin, rest)) if commented_out(rest) => format!("{margin}{rest}\n"),
            _ => format!("{line}\n"),
        }
    };
    let full: String = example.lines().map(uncomment).collect();
    let fits_another_mode =
        "mode `separate` has no CA `single`; bring etcd, kubernetes or frontProxy, or change the mode";
    let errors: Vec<_> = lines(&errors(&full));
    assert!(
        matches!(&errors[..], [only] if only.ends_with(fits_another_mode)),
        "{errors:#?}"
    );

    let words = example
        .split_whitespace()
        .filter(|word| *word != "#")
        .collect::<Vec<_>>()
        .join(" ");
    each_field(&ROOT, "", &str::to_owned, &json_schema(), &mut |path, field, _, _| {
        assert!(words.contains(field.doc), "{path}");
        assert!(words.contains(&format!("{}:", field.name)), "{path}");
        if let Absence::Default(default) | Absence::Means(default) = field.absence
            && !["{}", "[]"].contains(&default)
        {
            assert!(words.contains(&format!("{} Default: {default}.", field.doc)), "{path}");
        }
    });
}

#[test]
fn thousands_of_hosts() {
    use std::fmt::Write;
    let mut spec = String::from("hosts:\n- {name: m1, addresses: [10.0.0.1], roles: [control-plane]}\n");
    for i in 0..2_000 {
        let _ = write!(spec, "- name: w{i}\n  addresses: [10.1.{}.{}]\n", i / 200, i % 200 + 1);
    }
    let start = Instant::now();
    assert_eq!(cluster(&spec).hosts.len(), 2_001);
    // Some 10 ms in release. This is to notice a quadratic check.
    assert!(start.elapsed() < Duration::from_secs(2));
}

/// What damages YAML, or any printable characters.
const INSERTS: &str = r#"[-\[\]{}:,#&*!|>'"%@~ \n\ta-z0-9./]{0,6}|\PC{0,3}"#;

proptest! {
    /// Whatever the text, the parser gives a cluster, or errors in order, each inside the file.
    #[test]
    fn damaged_specs_never_panic(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..40, INSERTS), 1..6),
    ) {
        let mut text: Vec<char> = example().chars().collect();
        for (at, length, insert) in cuts {
            let at = at.index(text.len());
            let end = text.len().min(at + length);
            text.splice(at..end, insert.chars());
        }
        let text: String = text.into_iter().collect();
        let errors = errors(&text);
        let last = text.lines().count() + 1;
        prop_assert!(errors.iter().all(|error| (1..=last).contains(&error.line) && error.column > 0));
        prop_assert!(errors.is_sorted_by_key(|error| (error.line, error.column)));
    }
}
