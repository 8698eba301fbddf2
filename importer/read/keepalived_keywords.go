package read

import "strings"

const aboutKeepalived = "it is about keepalived itself"

// foreignKeywords are the keywords of keepalived.conf(5) that an inventory has
// nothing for, each with the reason. Most mean the same wherever they stand.
func foreignKeywords() map[string]string {
	all := map[string]string{}
	for _, of := range []struct{ why, keywords string }{
		{noChecks, `
			HTTP_GET SSL_GET TCP_CHECK UDP_CHECK SMTP_CHECK DNS_CHECK MISC_CHECK PING_CHECK BFD_CHECK FILE_CHECK
			SSL alpha omega quorum quorum_up quorum_down hysteresis inhibit_on_failure notify_up notify_down
			delay_loop delay_before_retry retry warmup connect_timeout connect_port ha_suspend virtualhost
			checker_log_all_failures rs_init_notifies no_checker_emails`},
		{"no sorry servers in an inventory: it would take over when checks fail", `
			sorry_server sorry_server_inhibit sorry_server_lvs_method`},
		{noVRRP, `
			vrrp_sync_group vrrp_script vrrp_track_process vrrp_track_file track_file track_group bfd_instance
			garp_group static_track_group interface_up_down_delays linkbeat_interfaces
			use_vmac use_vmac_addr vmac_xmit_base use_ipvlan unicast_peer unicast_fault_no_peer check_unicast_src
			old_unicast_checksum native_ipv6 vrf dont_track_primary track_interface track_script track_process
			track_bfd mcast_dst_ip track_src_ip unicast_ttl version priority advert_int no_virtual_ipaddress
			promote_secondaries linkbeat_use_polling v3_checksum_as_v2 accept no_accept skip_check_adv_addr
			strict_mode preempt nopreempt preempt_delay notify_backup notify_master notify_fault notify_stop
			notify_deleted notify notify_master_rx_lower_pri notify_priority_changes
			garp_master_delay garp_master_refresh garp_master_repeat garp_master_refresh_repeat
			garp_lower_prio_delay garp_lower_prio_repeat down_timer_adverts timer_expired_backup
			thread_timer_expired garp_extra_if vmac_garp_intvl lower_prio_no_advert higher_prio_send_advert
			owner_ignore_adverts kernel_rx_buf_size authentication auth_type auth_pass auth_hmac
			vrrp_mcast_group4 vrrp_mcast_group6 vrrp_garp_master_delay vrrp_garp_master_repeat
			vrrp_garp_master_refresh vrrp_garp_master_refresh_repeat vrrp_garp_lower_prio_delay
			vrrp_garp_lower_prio_repeat vrrp_down_timer_adverts vrrp_garp_interval vrrp_gna_interval vrrp_min_garp
			vrrp_garp_extra_if vrrp_vmac_garp_intvl vrrp_lower_prio_no_advert vrrp_higher_prio_send_advert
			vrrp_version vrrp_iptables vrrp_ipsets nftables nftables_priority nftables_ifindex
			vrrp_check_unicast_src vrrp_skip_check_adv_addr vrrp_strict vrrp_startup_delay vrrp_delay_after_boot
			vrrp_owner_ignore_adverts vmac_prefix vmac_addr_prefix log_unknown_vrids max_auto_priority
			min_auto_priority_delay dynamic_interfaces disable_local_igmp vrrp_notify_priority_changes`},
		{"an inventory has no such addresses, routes and rules", `
			static_ipaddress static_routes static_rules virtual_routes virtual_rules`},
		{"lvsform changes what it manages, and nothing else", `
			lvs_flush lvs_flush_on_stop lvs_flush_onstop`},
		{"it has no effect without a firewall mark", `
			ip_family nftables_ipvs nftables_ipvs_priority nftables_ipvs_start_fwmark`},
		{"it has no effect in today's keepalived", `
			hashed nat_mask`},
		{aboutKeepalived, `
			notification_email notification_email_from smtp_server smtp_helo_name smtp_connect_timeout smtp_alert
			smtp_alert_vrrp smtp_alert_checker no_email_faults snmp_name snmp_socket enable_traps enable_snmp_vrrp
			enable_snmp_keepalived enable_snmp_rfc enable_snmp_rfcv2 enable_snmp_rfcv3 enable_snmp_checker
			snmp_vs_stats_update_interval snmp_rs_stats_update_interval enable_dbus dbus_service_name
			dbus_no_interface_name script_user enable_script_security startup_script startup_script_timeout
			shutdown_script shutdown_script_timeout notify_fifo notify_fifo_script vrrp_notify_fifo
			vrrp_notify_fifo_script lvs_notify_fifo lvs_notify_fifo_script fifo_write_vrrp_states_on_reload
			process_names process_name vrrp_process_name checker_process_name lvs_process_name bfd_process_name
			use_symlink_paths set_supplementary_groups net_namespace net_namespace_ipvs namespace_with_ipsets
			use_pid_dir instance child_wait_time debug nftables_counters
			vrrp_priority vrrp_no_swap vrrp_rt_priority vrrp_cpu_affinity vrrp_rlimit_rttime vrrp_rlimit_rtime
			checker_priority checker_no_swap checker_rt_priority checker_cpu_affinity checker_rlimit_rttime
			checker_rlimit_rtime bfd_priority bfd_no_swap bfd_rt_priority bfd_cpu_affinity bfd_rlimit_rttime
			bfd_rlimit_rtime vrrp_netlink_cmd_rcv_bufs vrrp_netlink_cmd_rcv_bufs_force
			vrrp_netlink_monitor_rcv_bufs vrrp_netlink_monitor_rcv_bufs_force process_monitor_rcv_bufs
			process_monitor_rcv_bufs_force lvs_netlink_cmd_rcv_bufs lvs_netlink_cmd_rcv_bufs_force
			lvs_netlink_monitor_rcv_bufs lvs_netlink_monitor_rcv_bufs_force vrrp_rx_bufs_policy
			vrrp_rx_bufs_multiplier umask random_seed reload_check_config reload_time_file reload_repeat
			reload_file include_check config_save_dir tmp_config_directory data_use_instance json_version
			iproute_usr_dir iproute_etc_dir state_dump_file stats_dump_file json_dump_file`},
	} {
		for _, word := range strings.Fields(of.keywords) {
			all[word] = of.why
		}
	}
	return all
}
