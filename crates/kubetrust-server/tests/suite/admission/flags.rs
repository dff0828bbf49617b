//! Which plugins run.

use kubetrust_server::admission::default_plugins;

use super::world::World;
use crate::support::Engine;

on_both!(the_lists_say_which_plugins_run,);

/// All, as their `Debug` lists them.
const ALL: &str = r#"["NamespaceLifecycle", "ServiceAccount", "NodeRestriction", "Priority", "DefaultTolerationSeconds", "OwnerReferencesPermissionEnforcement", "CertificateApproval", "CertificateSigning", "CertificateSubjectRestriction", "RbacEscalation"]"#;

async fn the_lists_say_which_plugins_run(engine: Engine) {
    let world = World::of(engine, &[]).await;
    let known = "NamespaceLifecycle, ServiceAccount, NodeRestriction, Priority, DefaultTolerationSeconds, OwnerReferencesPermissionEnforcement, CertificateApproval, CertificateSigning, CertificateSubjectRestriction";
    let without = |name: &str| ALL.replace(&format!("{name:?}, "), "");
    let unknown = |flag: &str, name: &str| {
        format!("{flag}: {name:?} is no admission plugin that this server has; write some of {known}")
    };
    let (on, off) = ("--enable-admission-plugins", "--disable-admission-plugins");
    for (enable, disable, expected) in [
        (vec![], vec![], Ok(ALL.to_owned())),
        (vec!["NodeRestriction"], vec![], Ok(ALL.to_owned())),
        (vec!["NodeRestriction"], vec!["Priority"], Ok(without("Priority"))),
        (vec![], vec!["NamespaceLifecycle"], Ok(without("NamespaceLifecycle"))),
        (vec!["Nonsense"], vec![], Err(unknown(on, "Nonsense"))),
        (vec![""], vec![], Err(unknown(on, ""))),
        (vec![], vec!["Priority", "noderestriction"], Err(unknown(off, "noderestriction"))),
        // What no flag may turn off has no name there.
        (vec![], vec!["RbacEscalation"], Err(unknown(off, "RbacEscalation"))),
        (vec![], vec!["RbacEscalation"], Err(unknown(off, "RbacEscalation"))),
        (vec!["Priority"], vec!["Priority"],
            Err("--enable-admission-plugins and --disable-admission-plugins both name Priority; leave it in one of them".to_owned())),
    ] {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let made = default_plugins(&world.registry, &world.authorizer, &owned(&enable), &owned(&disable));
        let shown = made.map(|admission| format!("{admission:?}")).map_err(|error| error.to_string());
        assert_eq!(shown, expected, "{enable:?} {disable:?}");
    }
}
