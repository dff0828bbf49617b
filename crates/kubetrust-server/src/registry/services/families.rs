//! Which families a service's addresses are of, and how many it has (`initIPFamilyFields`).

use std::net::IpAddr;

use kubetrust_api::status::Cause;
use kubetrust_api::validate::field::{self, Path};
use serde_json::{Value, json};

use super::range::{Family, differ};
use super::{is_headless, list, needs_addresses, text};

const SINGLE: &str = "SingleStack";
const PREFER: &str = "PreferDualStack";
const REQUIRE: &str = "RequireDualStack";

/// Writes `ipFamilyPolicy` and `ipFamilies` into a service, on a cluster with these families; its addresses become fewer
/// where it lets go of the second one.
pub(super) fn settle(new: &mut Value, old: Option<&Value>, cluster: &[Family]) -> Result<(), Vec<Cause>> {
    let Some(default) = cluster.first().copied() else {
        return Ok(());
    };
    if text(new, "type") == "ExternalName" || stays_preferred(new, old) {
        return Ok(());
    }
    let selects = new["spec"]["selector"]
        .as_object()
        .is_some_and(|labels| !labels.is_empty());
    let free = is_headless(new) && !selects;
    if text(new, "ipFamilyPolicy").is_empty() {
        let before = old.map(|old| text(old, "ipFamilyPolicy")).unwrap_or_default();
        let policy = match (before, free) {
            ("", true) => REQUIRE,
            ("", false) => SINGLE,
            (before, _) => before,
        };
        new["spec"]["ipFamilyPolicy"] = policy.into();
    }
    let mut faults = mismatches(new);
    if !faults.is_empty() {
        return Err(faults);
    }
    let single = text(new, "ipFamilyPolicy") == SINGLE;
    if let Some(old) = old {
        shrink(new, old, single, &mut faults);
    }
    if single {
        must_be_dual(new, &mut faults);
    }
    infer(new, cluster, &mut faults);
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut families: Vec<Family> = list(new, "ipFamilies").filter_map(Family::named).collect();
    if !free {
        if text(new, "ipFamilyPolicy") == REQUIRE && cluster.len() < 2 {
            let why = "this cluster is not configured for dual-stack services";
            faults.push(field::invalid(&Path::new("spec.ipFamilyPolicy"), REQUIRE, why));
        }
        for (index, family) in families
            .iter()
            .enumerate()
            .filter(|(_, family)| !cluster.contains(family))
        {
            let at = Path::new("spec.ipFamilies");
            faults.push(field::invalid(
                &at.index(index),
                family.name(),
                "not configured on this cluster",
            ));
        }
        if !faults.is_empty() {
            return Err(faults);
        }
    }
    if families.is_empty() {
        families.push(default);
    }
    if let [only] = *families
        && !single
        && (free || cluster.len() == 2)
    {
        families.push(only.other());
    }
    new["spec"]["ipFamilies"] = families.iter().map(|family| family.name()).collect();
    Ok(())
}

/// One that prefers two families is not changed because the cluster has changed.
fn stays_preferred(new: &Value, old: Option<&Value>) -> bool {
    old.is_some_and(|old| {
        needs_addresses(new) == needs_addresses(old)
            && text(old, "type") != "ExternalName"
            && [new, old]
                .iter()
                .all(|service| text(service, "ipFamilyPolicy") == PREFER)
            && ["clusterIPs", "ipFamilies"]
                .iter()
                .all(|field| list(old, field).count() > 0 && list(new, field).eq(list(old, field)))
    })
}

/// Addresses that are not of the families that the service names beside them.
fn mismatches(service: &Value) -> Vec<Cause> {
    let at = Path::new("spec.clusterIPs");
    let addresses: Vec<IpAddr> = list(service, "clusterIPs").filter_map(|ip| ip.parse().ok()).collect();
    let shown = || service["spec"]["clusterIPs"].clone();
    let mut faults = Vec::new();
    if !differ(addresses.iter().map(|address| Family::of(*address))) {
        let why = "may specify no more than one IP for each IP family, i.e. IPv4 and IPv6";
        faults.push(field::invalid(&at, shown(), why));
    }
    for (index, (address, family)) in addresses.iter().zip(list(service, "ipFamilies")).enumerate() {
        if Family::of(*address).name() != family {
            let why = format!("expected an {family} value as indicated by `ipFamilies[{index}]`");
            faults.push(field::invalid(&at.index(index), shown(), &why));
        }
    }
    faults
}

/// A service that has had two families and shall have one lets go of the second; otherwise it keeps both.
fn shrink(new: &mut Value, old: &Value, single: bool, faults: &mut Vec<Cause>) {
    for (field, what) in [("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")] {
        let (now, before) = (list(new, field).count(), list(old, field).count());
        if single {
            if list(new, field).eq(list(old, field)) && now > 1 {
                let first = list(new, field).next().map(str::to_owned);
                new["spec"][field] = json!([first]);
            }
        } else if now == 1 && before == 2 {
            let why = format!("must be 'SingleStack' to release the secondary {what}");
            let policy = text(new, "ipFamilyPolicy").to_owned();
            faults.push(field::invalid(&Path::new("spec.ipFamilyPolicy"), policy.as_str(), &why));
        }
    }
}

fn must_be_dual(new: &Value, faults: &mut Vec<Cause>) {
    for (field, what) in [("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")] {
        if list(new, field).count() == 2 {
            let why = format!("must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified");
            faults.push(field::invalid(&Path::new("spec.ipFamilyPolicy"), SINGLE, &why));
        }
    }
}

/// Families that are not named follow from the addresses.
fn infer(new: &mut Value, cluster: &[Family], faults: &mut Vec<Cause>) {
    let named = list(new, "ipFamilies").count();
    let mut families: Vec<String> = list(new, "ipFamilies").map(str::to_owned).collect();
    let addresses: Vec<IpAddr> = list(new, "clusterIPs").filter_map(|ip| ip.parse().ok()).collect();
    for (index, address) in addresses.iter().enumerate().skip(named) {
        let family = Family::of(*address);
        if cluster.contains(&family) {
            families.push(family.name().to_owned());
        } else {
            let why = format!("{} is not configured on this cluster", family.name());
            let at = Path::new("spec.clusterIPs");
            faults.push(field::invalid(
                &at.index(index),
                new["spec"]["clusterIPs"].clone(),
                &why,
            ));
        }
    }
    if families.len() > named {
        new["spec"]["ipFamilies"] = families.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cluster's families, what a client says, and the policy and families that follow or why there are none.
    type Case = (
        &'static [Family],
        Value,
        Result<(&'static str, &'static [&'static str]), &'static str>,
    );

    #[test]
    fn families_follow_from_the_policy_the_addresses_and_the_cluster() {
        use Family::{V4, V6};
        let single: &'static [Family] = &[V4];
        let dual: &'static [Family] = &[V6, V4];
        #[rustfmt::skip]
        let cases: &[Case] = &[
            (single, json!({}), Ok((SINGLE, &["IPv4"]))),
            (dual, json!({}), Ok((SINGLE, &["IPv6"]))),
            (single, json!({"ipFamilyPolicy": PREFER}), Ok((PREFER, &["IPv4"]))),
            (dual, json!({"ipFamilyPolicy": PREFER}), Ok((PREFER, &["IPv6", "IPv4"]))),
            (dual, json!({"ipFamilyPolicy": REQUIRE, "ipFamilies": ["IPv4"]}), Ok((REQUIRE, &["IPv4", "IPv6"]))),
            (dual, json!({"clusterIPs": ["10.0.0.1"]}), Ok((SINGLE, &["IPv4"]))),
            (single, json!({"clusterIP": "None", "clusterIPs": ["None"]}), Ok((REQUIRE, &["IPv4", "IPv6"]))),
            (single, json!({"clusterIP": "None", "clusterIPs": ["None"], "selector": {"a": "b"}}), Ok((SINGLE, &["IPv4"]))),
            (single, json!({"ipFamilyPolicy": REQUIRE}), Err("this cluster is not configured for dual-stack services")),
            (single, json!({"ipFamilies": ["IPv6"]}), Err("not configured on this cluster")),
            (single, json!({"clusterIPs": ["fd00::1"]}), Err("IPv6 is not configured on this cluster")),
            (dual, json!({"clusterIPs": ["fd00::1", "10.0.0.1"]}), Err("when multiple cluster IPs are specified")),
            (dual, json!({"ipFamilyPolicy": SINGLE, "ipFamilies": ["IPv6", "IPv4"]}), Err("when multiple IP families are specified")),
            (dual, json!({"clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv6"]}), Err("expected an IPv6 value as indicated by `ipFamilies[0]`")),
            (dual, json!({"clusterIPs": ["10.0.0.1", "10.0.0.2"], "ipFamilyPolicy": PREFER}), Err("no more than one IP for each IP family")),
        ];
        for (cluster, spec, want) in cases {
            let mut service = json!({"spec": spec});
            let settled = settle(&mut service, None, cluster);
            match want {
                Ok((policy, families)) => {
                    settled.unwrap();
                    let got: Vec<&str> = list(&service, "ipFamilies").collect();
                    assert_eq!(
                        (text(&service, "ipFamilyPolicy"), &got[..]),
                        (*policy, *families),
                        "{spec}"
                    );
                }
                Err(why) => {
                    let faults = settled.unwrap_err();
                    assert!(faults[0].message.contains(why), "{spec}: {faults:?}");
                }
            }
        }
    }
}
