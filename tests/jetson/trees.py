"""Trees of files as an Orin Nano under JetPack 6, an AGX Orin and a PC show them."""

from collections.abc import Mapping
from pathlib import Path

I2C = "sys/devices/platform/bus@0/c240000.i2c/i2c-1"
MONITOR = f"{I2C}/1-0040/hwmon/hwmon1"
CPU = "sys/devices/system/cpu"
THERMAL = "sys/class/thermal"
GPU = "sys/class/devfreq/17000000.gpu"
EMC = "sys/kernel/debug/bpmp/debug/clk/emc"
OVER_CURRENT = "sys/class/hwmon/hwmon2"

NVPMODEL_CONF = """\
# Copyright (c) NVIDIA CORPORATION. All rights reserved.
#
# < POWER_MODEL ID=id_num NAME=mode_name >
# PARAM ARG VALUE
###########################
< PARAM TYPE=FILE NAME=CPU_ONLINE >
CORE_0 /sys/devices/system/cpu/cpu0/online
CORE_1 /sys/devices/system/cpu/cpu1/online

< PARAM TYPE=CLOCK NAME=GPU >
FREQ_TABLE /sys/devices/platform/17000000.gpu/devfreq_dev/available_frequencies
MAX_FREQ /sys/devices/platform/17000000.gpu/devfreq_dev/max_freq

###########################
# POWER_MODEL DEFINITIONS #
###########################
< POWER_MODEL ID=0 NAME=15W >
CPU_ONLINE CORE_0 1
GPU MAX_FREQ 612000000
EMC MAX_FREQ 2133000000

< POWER_MODEL ID=1 NAME=25W >
GPU MAX_FREQ 918000000
EMC MAX_FREQ 3199000000

< POWER_MODEL ID=2 NAME=MAXN_SUPER >
GPU MAX_FREQ -1

< POWER_MODEL ID=3 NAME=7W >
CPU_ONLINE CORE_4 0

# mandatory section to configure the default mode
< PM_CONFIG DEFAULT=1 >
< FAN_CONFIG DEFAULT=quiet >
"""

# CPUs 4 and 5 are switched off: their cpufreq is gone.
ORIN_NANO = {
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0",
    "proc/device-tree/compatible": "nvidia,p3768-0000+p3767-0005-super\0nvidia,p3767-0005\0"
    "nvidia,tegra234\0",
    "proc/sys/kernel/osrelease": "5.15.148-tegra\n",
    "proc/meminfo": "MemTotal:        7802072 kB\nMemFree:          512000 kB\n",
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.7, GCID: 42132812, BOARD: generic, "
    "EABI: aarch64, DATE: Thu Sep 18 22:54:44 UTC 2025\n# KERNEL_VARIANT: oot\n"
    "TARGET_USERSPACE_LIB_DIR=nvidia\n",
    "etc/nvpmodel.conf": NVPMODEL_CONF,
    "var/lib/nvpmodel/status": "pmode:0002 fmode:quiet\n",
    f"{MONITOR}/name": "ina3221\n",
    f"{MONITOR}/in1_label": "VDD_IN\n",
    f"{MONITOR}/in1_enable": "1\n",
    f"{MONITOR}/in1_input": "5000\n",
    f"{MONITOR}/curr1_input": "1800\n",
    f"{MONITOR}/in2_label": "VDD_CPU_GPU_CV\n",
    f"{MONITOR}/in2_enable": "1\n",
    f"{MONITOR}/in2_input": "4992\n",
    f"{MONITOR}/curr2_input": "500\n",
    f"{MONITOR}/in3_label": "VDD_SOC\n",
    f"{MONITOR}/in3_enable": "1\n",
    f"{MONITOR}/in3_input": "4992\n",
    f"{MONITOR}/curr3_input": "400\n",
    f"{MONITOR}/in4_input": "9000\n",
    f"{MONITOR}/in7_input": "13500\n",
    f"{MONITOR}/in7_label": "sum of shunt voltages\n",
    f"{MONITOR}/curr4_input": "2700\n",
    "sys/class/hwmon/hwmon0/name": "pwmfan\n",
    f"{OVER_CURRENT}/name": "soctherm_oc\n",
    f"{OVER_CURRENT}/oc1_event_cnt": "0\n",
    f"{OVER_CURRENT}/oc1_throt_en": "1\n",
    f"{OVER_CURRENT}/oc2_event_cnt": "0\n",
    f"{OVER_CURRENT}/oc2_throt_en": "0\n",
    f"{OVER_CURRENT}/oc3_event_cnt": "42\n",
    f"{OVER_CURRENT}/oc3_throt_en": "1\n",
    f"{THERMAL}/thermal_zone0/type": "cpu-thermal\n",
    f"{THERMAL}/thermal_zone0/temp": "49812\n",
    f"{THERMAL}/thermal_zone1/type": "gpu-thermal\n",
    f"{THERMAL}/thermal_zone1/temp": "51250\n",
    f"{THERMAL}/thermal_zone2/type": "cv0-thermal\n",
    f"{THERMAL}/thermal_zone2/temp": "",
    f"{THERMAL}/thermal_zone8/type": "tj-thermal\n",
    f"{THERMAL}/thermal_zone8/temp": "51250\n",
    f"{THERMAL}/thermal_zone10/type": "soc2-thermal\n",
    f"{THERMAL}/thermal_zone10/temp": "-256000000\n",
    f"{THERMAL}/cooling_device0/type": "pwm-fan\n",
    f"{THERMAL}/cooling_device0/cur_state": "3\n",
    f"{THERMAL}/cooling_device0/max_state": "4\n",
    f"{THERMAL}/cooling_device1/type": "cpu-throttle-alert\n",
    f"{THERMAL}/cooling_device1/cur_state": "0\n",
    f"{THERMAL}/cooling_device1/max_state": "2\n",
    f"{THERMAL}/cooling_device2/type": "gpu-throttle-alert\n",
    f"{THERMAL}/cooling_device2/cur_state": "1\n",
    f"{THERMAL}/cooling_device2/max_state": "2\n",
    f"{THERMAL}/cooling_device3/type": "hot-surface-alert\n",
    f"{THERMAL}/cooling_device3/cur_state": "1\n",
    f"{THERMAL}/cooling_device10/type": "cpufreq-cpu0\n",
    f"{THERMAL}/cooling_device10/cur_state": "0\n",
    f"{CPU}/online": "0-3\n",
    f"{CPU}/cpuidle/current_driver": "psci\n",
    **{f"{CPU}/cpu{i}/online": "1\n" for i in range(1, 4)},
    **{f"{CPU}/cpu{i}/cpufreq/scaling_cur_freq": "1344000\n" for i in range(4)},
    **{f"{CPU}/cpu{i}/cpufreq/scaling_max_freq": "1728000\n" for i in range(4)},
    **{f"{CPU}/cpu{i}/online": "0\n" for i in (4, 5)},
    f"{CPU}/cpu0/regs/identification/midr_el1": "0x00000000410fd421\n",
    f"{GPU}/cur_freq": "612000000\n",
    f"{GPU}/max_freq": "1020000000\n",
    "sys/class/devfreq/15340000.vic/cur_freq": "435200000\n",
    f"{EMC}/rate": "3199000000\n",
    f"{EMC}/max_rate": "3199000000\n",
}

_SECOND = f"{I2C}/1-0041/hwmon/hwmon3"
AGX_ORIN_POWER = {
    f"{MONITOR}/name": "ina3221\n",
    f"{MONITOR}/in1_label": "VDD_GPU_SOC\n",
    f"{MONITOR}/in1_input": "20000\n",
    f"{MONITOR}/curr1_input": "200\n",
    f"{MONITOR}/in2_label": "VDD_CPU_CV\n",
    f"{MONITOR}/in2_input": "20000\n",
    f"{MONITOR}/curr2_input": "100\n",
    f"{MONITOR}/in3_label": "VIN_SYS_5V0\n",
    f"{MONITOR}/in3_input": "5000\n",
    f"{MONITOR}/curr3_input": "800\n",
    f"{_SECOND}/name": "ina3221\n",
    f"{_SECOND}/in1_label": "NC\n",
    f"{_SECOND}/in1_input": "0\n",
    f"{_SECOND}/curr1_input": "0\n",
    f"{_SECOND}/in2_label": "VDDQ_VDD2_1V8AO\n",
    f"{_SECOND}/in2_input": "5000\n",
    f"{_SECOND}/curr2_input": "200\n",
    f"{_SECOND}/in3_label": "NC\n",
}

PC = {
    "proc/sys/kernel/osrelease": "6.8.0-45-generic\n",
    "proc/meminfo": "MemTotal:       32768000 kB\n",
    "sys/class/hwmon/hwmon0/name": "acpitz\n",
    "sys/class/hwmon/hwmon0/temp1_input": "27800\n",
    "sys/class/hwmon/hwmon1/name": "coretemp\n",
    "sys/class/hwmon/hwmon2/name": "nct6798\n",
    "sys/class/hwmon/hwmon2/in1_input": "1016\n",
    f"{THERMAL}/thermal_zone0/type": "acpitz\n",
    f"{THERMAL}/thermal_zone0/temp": "27800\n",
    f"{THERMAL}/thermal_zone1/type": "acpitz\n",
    f"{THERMAL}/thermal_zone1/temp": "29800\n",
    f"{THERMAL}/thermal_zone2/type": "x86_pkg_temp\n",
    f"{THERMAL}/thermal_zone2/temp": "46000\n",
    f"{THERMAL}/cooling_device0/type": "Processor\n",
    f"{THERMAL}/cooling_device0/cur_state": "0\n",
    f"{THERMAL}/cooling_device0/max_state": "10\n",
    f"{THERMAL}/cooling_device1/type": "intel_powerclamp\n",
    f"{THERMAL}/cooling_device1/cur_state": "-1\n",
    f"{CPU}/online": "0-1\n",
    f"{CPU}/cpu0/cpufreq/scaling_cur_freq": "3600000\n",
    f"{CPU}/cpu0/cpufreq/scaling_max_freq": "4700000\n",
    f"{CPU}/cpu1/online": "1\n",
    f"{CPU}/cpu1/cpufreq/scaling_cur_freq": "800000\n",
    f"{CPU}/cpu1/cpufreq/scaling_max_freq": "4700000\n",
}


def write_tree(root: Path, files: Mapping[str, str]) -> Path:
    """Monitors of the I2C bus get the kernel's links from their class and their driver."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode())
    for monitor in (root / I2C).glob("*/hwmon/hwmon*"):
        link(root / "sys/class/hwmon" / monitor.name, monitor)
        link(root / "sys/bus/i2c/drivers/ina3221" / monitor.parents[1].name, monitor.parents[1])
    return root


def link(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)
