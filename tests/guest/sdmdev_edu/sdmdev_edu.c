// SPDX-License-Identifier: GPL-2.0
/*
 * Queues of QEMU's `edu` device as mediated devices of class `sdmdev`, for sdmtop's tests only.
 *
 * It has the face that the 2018 RFC "vfio: share domain mediated device" gives to a parent: the
 * class, `params/`, the attributes of a type, and queues whose waiters wake on the parent's one
 * interrupt. Write a number n at offset 0 of a queue; the parent computes n! and raises its MSI;
 * VFIO_SDMDEV_CMD_WAIT returns when that has come, and n! stands at offset 4.
 *
 * The other half of the RFC is not here: today's mdev core emulates the container of an mdev, and
 * gives a driver no way to share the domain of its parent.
 */
#include <linux/device.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/list.h>
#include <linux/mdev.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/platform_device.h>
#include <linux/uaccess.h>
#include <linux/version.h>
#include <linux/vfio.h>
#include <linux/wait.h>

#define INSTANCES		2
#define MOST_VIRTUAL		4

#define VFIO_SDMDEV_CMD_WAIT	_IO('W', 1)

/* Registers of edu: docs/specs/edu.txt of QEMU. */
#define EDU_FACTORIAL		0x08
#define EDU_STATUS		0x20
#define EDU_STATUS_INTERRUPT	0x80
#define EDU_RAISED		0x24
#define EDU_ACKNOWLEDGE		0x64

static unsigned int nvirtual = 1;
module_param(nvirtual, uint, 0444);
MODULE_PARM_DESC(nvirtual, "parents of class sdmdev without hardware, and so without a group");

static unsigned int nplain = 1;
module_param(nplain, uint, 0444);
MODULE_PARM_DESC(nplain, "parents of plain mdevs, outside class sdmdev");

struct parent {
	struct mdev_parent mdev;
	struct mdev_type type;
	struct mdev_type *types[1];
	struct device *class_device;	/* none for a parent of plain mdevs */
	void __iomem *registers;	/* none for a parent without hardware */
	struct mutex lock;		/* guards all below, and the links of queues */
	struct list_head waiting;
	struct queue *running;
	bool busy;			/* also while the result of a closed queue is awaited */
};

struct queue {
	struct vfio_device vfio;
	struct parent *parent;
	struct list_head link;
	wait_queue_head_t updated;
	struct page *page;
	u32 *words;			/* n, n! */
	bool done;
	pid_t pid;			/* who has it open, or 0 */
};

static struct class sdmdev_class = { .name = "sdmdev" };

/* -- the work: one factorial at a time, in the order in which they were asked for ------------- */

static void finish(struct queue *queue, u32 result)
{
	queue->words[1] = result;
	queue->done = true;
	wake_up_all(&queue->updated);
}

static void start_next(struct parent *parent)
{
	struct queue *queue;

	while (!parent->busy && !list_empty(&parent->waiting)) {
		queue = list_first_entry(&parent->waiting, struct queue, link);
		list_del_init(&queue->link);
		if (parent->registers) {
			parent->busy = true;
			parent->running = queue;
			iowrite32(queue->words[0], parent->registers + EDU_FACTORIAL);
		} else {
			u32 n = queue->words[0], result = 1;

			/* In 32 bits, as the hardware does it: 0 from 34! on. */
			for (n = min(n, 34u); n > 1; n--)
				result *= n;
			finish(queue, result);
		}
	}
}

static irqreturn_t on_interrupt(int irq, void *data)
{
	struct parent *parent = data;
	u32 raised = ioread32(parent->registers + EDU_RAISED);

	if (!raised)
		return IRQ_NONE;
	iowrite32(raised, parent->registers + EDU_ACKNOWLEDGE);
	return IRQ_WAKE_THREAD;
}

static irqreturn_t after_interrupt(int irq, void *data)
{
	struct parent *parent = data;

	mutex_lock(&parent->lock);
	if (parent->running)
		finish(parent->running, ioread32(parent->registers + EDU_FACTORIAL));
	parent->running = NULL;
	parent->busy = false;
	start_next(parent);
	mutex_unlock(&parent->lock);
	return IRQ_HANDLED;
}

/* -- a queue as a VFIO device ---------------------------------------------------------------- */

static struct queue *to_queue(struct vfio_device *vfio)
{
	return container_of(vfio, struct queue, vfio);
}

static int queue_init(struct vfio_device *vfio)
{
	struct queue *queue = to_queue(vfio);

	INIT_LIST_HEAD(&queue->link);
	init_waitqueue_head(&queue->updated);
	queue->page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	if (!queue->page)
		return -ENOMEM;
	queue->words = page_address(queue->page);
	return 0;
}

static void queue_release(struct vfio_device *vfio)
{
	__free_page(to_queue(vfio)->page);
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
	vfio_free_device(vfio);
#endif
}

static int queue_open(struct vfio_device *vfio)
{
	to_queue(vfio)->pid = task_tgid_nr(current);
	return 0;
}

static void queue_close(struct vfio_device *vfio)
{
	struct queue *queue = to_queue(vfio);
	struct parent *parent = queue->parent;

	mutex_lock(&parent->lock);
	list_del_init(&queue->link);
	if (parent->running == queue)
		parent->running = NULL;
	queue->pid = 0;
	mutex_unlock(&parent->lock);
}

static ssize_t queue_read(struct vfio_device *vfio, char __user *buffer, size_t count, loff_t *at)
{
	return simple_read_from_buffer(buffer, count, at, to_queue(vfio)->words, PAGE_SIZE);
}

/* The doorbell: a page of memory tells nobody that it was written. */
static ssize_t queue_write(struct vfio_device *vfio, const char __user *buffer, size_t count,
			   loff_t *at)
{
	struct queue *queue = to_queue(vfio);
	struct parent *parent = queue->parent;
	ssize_t result = sizeof(u32);
	u32 n;

	if (*at != 0 || count != sizeof(n))
		return -EINVAL;
	if (copy_from_user(&n, buffer, sizeof(n)))
		return -EFAULT;
	mutex_lock(&parent->lock);
	if (parent->running == queue || !list_empty(&queue->link)) {
		result = -EBUSY;
	} else {
		queue->words[0] = n;
		queue->done = false;
		list_add_tail(&queue->link, &parent->waiting);
		start_next(parent);
	}
	mutex_unlock(&parent->lock);
	return result;
}

static int queue_mmap(struct vfio_device *vfio, struct vm_area_struct *vma)
{
	if (vma->vm_pgoff != 0 || vma->vm_end - vma->vm_start != PAGE_SIZE)
		return -EINVAL;
	return vm_insert_page(vma, vma->vm_start, to_queue(vfio)->page);
}

static long queue_info(void __user *argument)
{
	struct vfio_device_info info = { .num_regions = 1 };
	u32 size;

	if (get_user(size, (u32 __user *)argument))
		return -EFAULT;
	info.argsz = offsetofend(struct vfio_device_info, num_irqs);
	if (size < info.argsz)
		return -EINVAL;
	return copy_to_user(argument, &info, info.argsz) ? -EFAULT : 0;
}

static int queue_region(struct vfio_device *vfio, struct vfio_region_info *info,
			struct vfio_info_cap *caps)
{
	if (info->index != 0)
		return -EINVAL;
	info->flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE |
		      VFIO_REGION_INFO_FLAG_MMAP;
	info->size = PAGE_SIZE;
	info->offset = 0;
	return 0;
}

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 19, 0)
/* Since then VFIO itself copies what the operation above fills in, and asks no other. */
static long queue_region_ioctl(struct vfio_device *vfio, void __user *argument)
{
	struct vfio_region_info info;
	size_t size = offsetofend(struct vfio_region_info, offset);

	if (copy_from_user(&info, argument, size))
		return -EFAULT;
	if (info.argsz < size)
		return -EINVAL;
	info.cap_offset = 0;
	if (queue_region(vfio, &info, NULL))
		return -EINVAL;
	return copy_to_user(argument, &info, size) ? -EFAULT : 0;
}
#endif

/* The RFC's argument is a time limit in milliseconds; 0 is none. */
static long queue_wait(struct queue *queue, unsigned long milliseconds)
{
	long left = milliseconds ? msecs_to_jiffies(milliseconds) : MAX_SCHEDULE_TIMEOUT;

	left = wait_event_interruptible_timeout(queue->updated, READ_ONCE(queue->done), left);
	return left < 0 ? left : left ? 0 : -ETIME;
}

static long queue_ioctl(struct vfio_device *vfio, unsigned int command, unsigned long argument)
{
	switch (command) {
	case VFIO_DEVICE_GET_INFO:
		return queue_info((void __user *)argument);
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 19, 0)
	case VFIO_DEVICE_GET_REGION_INFO:
		return queue_region_ioctl(vfio, (void __user *)argument);
#endif
	case VFIO_SDMDEV_CMD_WAIT:
		return queue_wait(to_queue(vfio), argument);
	default:
		return -ENOTTY;
	}
}

static const struct vfio_device_ops queue_ops = {
	.name = "sdmdev_edu",
	.init = queue_init,
	.release = queue_release,
	.open_device = queue_open,
	.close_device = queue_close,
	.read = queue_read,
	.write = queue_write,
	.mmap = queue_mmap,
	.ioctl = queue_ioctl,
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 19, 0)
	.get_region_info_caps = queue_region,
#endif
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
	.bind_iommufd = vfio_iommufd_emulated_bind,
	.unbind_iommufd = vfio_iommufd_emulated_unbind,
	.attach_ioas = vfio_iommufd_emulated_attach_ioas,
#endif
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)
	.detach_ioas = vfio_iommufd_emulated_detach_ioas,
#endif
};

/* -- a queue as a mediated device ------------------------------------------------------------ */

static ssize_t pid_show(struct device *device, struct device_attribute *attribute, char *text)
{
	struct queue *queue = dev_get_drvdata(device);

	return sysfs_emit(text, "%d\n", READ_ONCE(queue->pid));
}
static DEVICE_ATTR_RO(pid);

static struct attribute *queue_params[] = { &dev_attr_pid.attr, NULL };
static const struct attribute_group queue_group = { .name = "params", .attrs = queue_params };
static const struct attribute_group *queue_groups[] = { &queue_group, NULL };

static int queue_probe(struct mdev_device *mdev)
{
	struct queue *queue = vfio_alloc_device(queue, vfio, &mdev->dev, &queue_ops);
	int error;

	if (IS_ERR(queue))
		return PTR_ERR(queue);
	queue->parent = container_of(mdev->type->parent, struct parent, mdev);
	dev_set_drvdata(&mdev->dev, queue);
	error = vfio_register_emulated_iommu_dev(&queue->vfio);
	if (error)
		vfio_put_device(&queue->vfio);
	return error;
}

static void queue_remove(struct mdev_device *mdev)
{
	struct queue *queue = dev_get_drvdata(&mdev->dev);

	vfio_unregister_group_dev(&queue->vfio);
	vfio_put_device(&queue->vfio);
}

static struct mdev_driver queue_driver = {
	.device_api = "sdmdev_edu_v1",
	.max_instances = INSTANCES,
	.probe = queue_probe,
	.remove = queue_remove,
	.driver = {
		.name = "sdmdev_edu_queue",
		.owner = THIS_MODULE,
		.mod_name = KBUILD_MODNAME,
		.dev_groups = queue_groups,
	},
};

static struct mdev_driver plain_driver = {
	.device_api = VFIO_DEVICE_API_PLATFORM_STRING,
	.max_instances = INSTANCES,
	.probe = queue_probe,
	.remove = queue_remove,
	.driver = {
		.name = "sdmdev_edu_plain",
		.owner = THIS_MODULE,
		.mod_name = KBUILD_MODNAME,
	},
};

/* -- a parent -------------------------------------------------------------------------------- */

static ssize_t iommu_type_show(struct device *device, struct device_attribute *attribute,
			       char *text)
{
	return sysfs_emit(text, "%d\n", VFIO_TYPE1_IOMMU);
}
static DEVICE_ATTR_RO(iommu_type);

/* MULTI_PROC_MAP: each queue has a container of its own. */
static ssize_t dma_flag_show(struct device *device, struct device_attribute *attribute,
			     char *text)
{
	return sysfs_emit(text, "2\n");
}
static DEVICE_ATTR_RO(dma_flag);

static struct attribute *parent_params[] = {
	&dev_attr_iommu_type.attr,
	&dev_attr_dma_flag.attr,
	NULL,
};
static const struct attribute_group parent_group = { .name = "params", .attrs = parent_params };

/* The mdev core has no call to add an attribute to a type; this is how it lays out its own. */
struct type_attribute {
	struct attribute attribute;
	ssize_t (*show)(struct mdev_type *type, struct type_attribute *attribute, char *text);
	ssize_t (*store)(struct mdev_type *type, struct type_attribute *attribute,
			 const char *text, size_t size);
};

static ssize_t flags_show(struct mdev_type *type, struct type_attribute *attribute, char *text)
{
	return sysfs_emit(text, "0\n");
}
static struct type_attribute flags_attribute = {
	.attribute = { .name = "flags", .mode = 0444 },
	.show = flags_show,
};

static int offer(struct device *device, struct parent *parent, bool plain)
{
	int error;

	mutex_init(&parent->lock);
	INIT_LIST_HEAD(&parent->waiting);
	parent->types[0] = &parent->type;
	parent->type.sysfs_name = plain ? "plain" : "fact";
	parent->type.pretty_name = "factorial";
	if (!plain) {
		error = devm_device_add_group(device, &parent_group);
		if (error)
			return error;
	}
	error = mdev_register_parent(&parent->mdev, device, plain ? &plain_driver : &queue_driver,
				     parent->types, 1);
	if (error || plain)
		return error;
	error = sysfs_create_file(&parent->type.kobj, &flags_attribute.attribute);
	if (error)
		goto unregister;
	parent->class_device = device_create(&sdmdev_class, device, MKDEV(0, 0), parent, "%s",
					     dev_name(device));
	if (!IS_ERR(parent->class_device))
		return 0;
	error = PTR_ERR(parent->class_device);
unregister:
	mdev_unregister_parent(&parent->mdev);
	return error;
}

static void withdraw(struct parent *parent)
{
	if (parent->class_device)
		device_unregister(parent->class_device);
	mdev_unregister_parent(&parent->mdev);
}

static int edu_probe(struct pci_dev *pci, const struct pci_device_id *id)
{
	struct parent *parent = devm_kzalloc(&pci->dev, sizeof(*parent), GFP_KERNEL);
	int error;

	if (!parent)
		return -ENOMEM;
	error = pcim_enable_device(pci);
	if (error)
		return error;
	parent->registers = pcim_iomap(pci, 0, 0);
	if (!parent->registers)
		return -ENOMEM;
	pci_set_master(pci);
	error = pci_alloc_irq_vectors(pci, 1, 1, PCI_IRQ_MSI);
	if (error < 0)
		return error;
	pci_set_drvdata(pci, parent);
	error = offer(&pci->dev, parent, false);
	if (error)
		goto free_vectors;
	/* Named after the driver, and one for all queues, as the RFC's first driver had it. */
	error = request_threaded_irq(pci_irq_vector(pci, 0), on_interrupt, after_interrupt, 0,
				     KBUILD_MODNAME, parent);
	if (error)
		goto withdraw;
	iowrite32(EDU_STATUS_INTERRUPT, parent->registers + EDU_STATUS);
	return 0;
withdraw:
	withdraw(parent);
free_vectors:
	pci_free_irq_vectors(pci);
	return error;
}

static void edu_remove(struct pci_dev *pci)
{
	struct parent *parent = pci_get_drvdata(pci);

	withdraw(parent);
	iowrite32(0, parent->registers + EDU_STATUS);
	free_irq(pci_irq_vector(pci, 0), parent);
	pci_free_irq_vectors(pci);
}

static const struct pci_device_id edu_ids[] = { { PCI_DEVICE(0x1234, 0x11e8) }, {} };
MODULE_DEVICE_TABLE(pci, edu_ids);

static struct pci_driver edu_driver = {
	.name = KBUILD_MODNAME,
	.id_table = edu_ids,
	.probe = edu_probe,
	.remove = edu_remove,
};

static int virtual_probe(struct platform_device *platform)
{
	struct parent *parent = devm_kzalloc(&platform->dev, sizeof(*parent), GFP_KERNEL);

	if (!parent)
		return -ENOMEM;
	platform_set_drvdata(platform, parent);
	return offer(&platform->dev, parent, platform_get_device_id(platform)->driver_data);
}

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 11, 0)
static int virtual_remove(struct platform_device *platform)
{
	withdraw(platform_get_drvdata(platform));
	return 0;
}
#else
static void virtual_remove(struct platform_device *platform)
{
	withdraw(platform_get_drvdata(platform));
}
#endif

static const struct platform_device_id virtual_ids[] = {
	{ "sdmdev_virtual", false },
	{ "mdev_plain", true },
	{}
};

static struct platform_driver virtual_driver = {
	.driver = { .name = "sdmdev_virtual" },
	.id_table = virtual_ids,
	.probe = virtual_probe,
	.remove = virtual_remove,
};

/* -- the module ------------------------------------------------------------------------------ */

static struct platform_device *virtual_devices[2 * MOST_VIRTUAL];

static void remove_virtual(void)
{
	unsigned int index;

	for (index = 0; index < ARRAY_SIZE(virtual_devices); index++)
		platform_device_unregister(virtual_devices[index]);
}

static int __init add_virtual(void)
{
	struct platform_device *made;
	unsigned int index;

	for (index = 0; index < min(nvirtual, 1u * MOST_VIRTUAL); index++) {
		made = platform_device_register_simple("sdmdev_virtual", index, NULL, 0);
		if (IS_ERR(made))
			return PTR_ERR(made);
		virtual_devices[index] = made;
	}
	for (index = 0; index < min(nplain, 1u * MOST_VIRTUAL); index++) {
		made = platform_device_register_simple("mdev_plain", index, NULL, 0);
		if (IS_ERR(made))
			return PTR_ERR(made);
		virtual_devices[MOST_VIRTUAL + index] = made;
	}
	return 0;
}

static int __init sdmdev_edu_init(void)
{
	int error = class_register(&sdmdev_class);

	if (error)
		return error;
	error = mdev_register_driver(&queue_driver);
	if (error)
		goto no_queues;
	error = mdev_register_driver(&plain_driver);
	if (error)
		goto no_plain;
	error = platform_driver_register(&virtual_driver);
	if (error)
		goto no_virtual;
	error = add_virtual();
	if (error)
		goto no_devices;
	error = pci_register_driver(&edu_driver);
	if (!error)
		return 0;
no_devices:
	remove_virtual();
	platform_driver_unregister(&virtual_driver);
no_virtual:
	mdev_unregister_driver(&plain_driver);
no_plain:
	mdev_unregister_driver(&queue_driver);
no_queues:
	class_unregister(&sdmdev_class);
	return error;
}
module_init(sdmdev_edu_init);

static void __exit sdmdev_edu_exit(void)
{
	pci_unregister_driver(&edu_driver);
	remove_virtual();
	platform_driver_unregister(&virtual_driver);
	mdev_unregister_driver(&plain_driver);
	mdev_unregister_driver(&queue_driver);
	class_unregister(&sdmdev_class);
}
module_exit(sdmdev_edu_exit);

MODULE_DESCRIPTION("sdmdev queues on QEMU's edu device, for the tests of sdmtop");
MODULE_LICENSE("GPL");
