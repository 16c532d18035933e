.PHONY: test-lsm

test-lsm: export CATENA_VM_MACHINES := apparmor selinux
test-lsm: ## run priv-drop on a kernel with AppArmor and an old Landlock, and with SELinux and none
	tests/vm/run lsm_apparmor lsm_landlock lsm_selinux
