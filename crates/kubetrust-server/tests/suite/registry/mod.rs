//! What the registry of resources does, seen by a client: each case on a server of its own.

mod cases;
mod on_etcd;
mod restart;
mod two_servers;
pub mod world;

use cases::{deletions, forms, identities, lists, namespaces, services, watches, writes};
use world::World;

use crate::support::Engine;

/// Gives each case a server that this function begins.
macro_rules! in_a_world {
    ($begin:ident: $($module:ident::$case:ident),+ $(,)?) => {
        $(
            async fn $case(engine: Engine) {
                let world = World::$begin(engine).await;
                $module::$case(&world).await;
                world.running.stop().await;
            }
        )+
        on_both!($($case),+);
    };
}

in_a_world! {
    on:
    writes::an_object_is_created_read_replaced_and_removed,
    writes::a_failure_says_what_upstream_says,
    writes::patches_of_three_kinds_change_what_they_say,
    writes::the_generation_counts_changes_of_what_is_wanted,
    writes::a_dry_run_stores_nothing,
    writes::a_name_is_generated_from_its_base,
    writes::unknown_fields_are_refused_warned_of_or_ignored,
    writes::a_name_stays_below_its_prefix,
    writes::an_object_over_the_limit_is_refused,
    writes::what_a_strategy_drops_is_refused_to_whom_it_is_forbidden,
    writes::only_one_of_many_writers_wins_a_revision,
    deletions::preconditions_hold_a_deletion_to_what_was_seen,
    deletions::a_finalizer_holds_an_object_until_it_is_taken_off,
    deletions::dependents_go_as_the_propagation_says,
    deletions::a_dependent_stays_while_it_has_another_owner,
    deletions::a_collection_is_deleted_by_its_selection,
    lists::selectors_choose,
    lists::pages_show_one_revision_while_objects_change,
    lists::revisions_are_matched_as_the_table_says,
    watches::a_watch_has_every_write_of_many_once_and_in_order,
    watches::an_object_enters_and_leaves_a_selection,
    watches::a_deletion_carries_the_last_state,
    watches::initial_events_end_with_a_bookmark,
    watches::a_bookmark_comes_before_the_end,
    watches::a_watch_begins_where_it_is_told,
    forms::tables_and_metadata_are_made_of_objects,
    forms::yaml_is_taken_and_given,
    forms::what_is_not_spoken_is_refused,
    namespaces::a_namespace_is_emptied_before_it_goes,
    namespaces::a_namespace_is_given_its_account_and_the_authority,
    identities::a_token_dies_with_what_it_is_bound_to,
    identities::a_request_is_approved_by_who_may,
    services::a_service_has_addresses_and_ports_as_its_type_and_families_say,
    services::an_address_or_port_that_is_taken_or_outside_is_refused,
    services::what_a_service_was_given_stays_until_it_goes_or_changes_its_type,
    services::clients_in_the_cluster_are_told_of_the_servers_that_live,
    services::what_is_served_is_registered_as_available,
}

in_a_world! {
    alone:
    lists::a_page_goes_on_after_its_revision_is_gone,
}
