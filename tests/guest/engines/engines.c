// SPDX-License-Identifier: GPL-2.0
/*
 * An accelerator of class uacce and a DMA engine, both made of software, for sdmtop's tests only.
 *
 * No device that QEMU emulates is either. The queues do nothing but be taken and given back; the
 * engine copies with the processor, at once. With `spoil` it copies a byte wrongly, so that a test
 * of it can fail.
 */
#include <linux/dmaengine.h>
#include <linux/dma-mapping.h>
#include <linux/io.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/slab.h>
#include <linux/uacce.h>

#define CHANNELS	2
#define QUEUES		4

static bool spoil;
module_param(spoil, bool, 0644);
MODULE_PARM_DESC(spoil, "copy the last byte wrongly");

static struct platform_device *parent;

/* -- class uacce ------------------------------------------------------------------------------ */

static struct uacce_device *accelerator;
static atomic_t queues_left = ATOMIC_INIT(QUEUES);

static int queues_available(struct uacce_device *uacce)
{
	return atomic_read(&queues_left);
}

static int get_queue(struct uacce_device *uacce, unsigned long arg, struct uacce_queue *queue)
{
	return atomic_dec_if_positive(&queues_left) < 0 ? -EBUSY : 0;
}

static void put_queue(struct uacce_queue *queue)
{
	atomic_inc(&queues_left);
}

static int start_queue(struct uacce_queue *queue)
{
	return 0;
}

static void stop_queue(struct uacce_queue *queue)
{
}

static const struct uacce_ops queue_ops = {
	.get_available_instances = queues_available,
	.get_queue = get_queue,
	.put_queue = put_queue,
	.start_queue = start_queue,
	.stop_queue = stop_queue,
};

static int add_accelerator(struct device *dev)
{
	struct uacce_interface interface = { .name = "soft", .ops = &queue_ops };
	int error;

	accelerator = uacce_alloc(dev, &interface);
	if (IS_ERR(accelerator))
		return PTR_ERR(accelerator);
	accelerator->api_ver = "soft_v1";
	accelerator->algs = "nothing\n";
	error = uacce_register(accelerator);
	if (error)
		uacce_remove(accelerator);
	return error;
}

/* -- the DMA engine --------------------------------------------------------------------------- */

struct copy {
	struct dma_async_tx_descriptor tx;
	dma_addr_t to, from;
	size_t length;
	struct list_head link;
};

struct channel {
	struct dma_chan chan;
	spinlock_t lock;		/* guards what is below, and the cookies */
	struct list_head waiting;
};

static struct dma_device engine;
static struct channel channels[CHANNELS];

static struct channel *channel_of(struct dma_chan *chan)
{
	return container_of(chan, struct channel, chan);
}

static dma_cookie_t submit(struct dma_async_tx_descriptor *tx)
{
	struct channel *channel = channel_of(tx->chan);
	struct copy *copy = container_of(tx, struct copy, tx);
	unsigned long flags;
	dma_cookie_t cookie;

	spin_lock_irqsave(&channel->lock, flags);
	cookie = tx->chan->cookie + 1;
	if (cookie < DMA_MIN_COOKIE)
		cookie = DMA_MIN_COOKIE;
	tx->cookie = tx->chan->cookie = cookie;
	list_add_tail(&copy->link, &channel->waiting);
	spin_unlock_irqrestore(&channel->lock, flags);
	return cookie;
}

static struct dma_async_tx_descriptor *prepare(struct dma_chan *chan, dma_addr_t to,
					       dma_addr_t from, size_t length, unsigned long flags)
{
	struct copy *copy = kzalloc(sizeof(*copy), GFP_NOWAIT);

	if (!copy)
		return NULL;
	dma_async_tx_descriptor_init(&copy->tx, chan);
	copy->tx.flags = flags;
	copy->tx.tx_submit = submit;
	copy->to = to;
	copy->from = from;
	copy->length = length;
	return &copy->tx;
}

/* The parent is behind no IOMMU: its addresses are physical ones. */
static void carry_out(struct copy *copy)
{
	u8 *to = phys_to_virt(copy->to);

	memcpy(to, phys_to_virt(copy->from), copy->length);
	if (spoil && copy->length)
		to[copy->length - 1] ^= 1;
}

static void issue(struct dma_chan *chan)
{
	struct channel *channel = channel_of(chan);
	struct copy *copy, *next;
	unsigned long flags;
	LIST_HEAD(done);

	spin_lock_irqsave(&channel->lock, flags);
	list_splice_init(&channel->waiting, &done);
	list_for_each_entry(copy, &done, link) {
		carry_out(copy);
		chan->completed_cookie = copy->tx.cookie;
	}
	spin_unlock_irqrestore(&channel->lock, flags);
	list_for_each_entry_safe(copy, next, &done, link) {
		if (copy->tx.callback)
			copy->tx.callback(copy->tx.callback_param);
		kfree(copy);
	}
}

static enum dma_status status(struct dma_chan *chan, dma_cookie_t cookie,
			      struct dma_tx_state *state)
{
	dma_set_tx_state(state, chan->completed_cookie, chan->cookie, 0);
	return dma_async_is_complete(cookie, chan->completed_cookie, chan->cookie);
}

static int allocate(struct dma_chan *chan)
{
	chan->cookie = chan->completed_cookie = DMA_MIN_COOKIE;
	return 1;
}

static void release(struct dma_chan *chan)
{
	struct channel *channel = channel_of(chan);
	struct copy *copy, *next;

	list_for_each_entry_safe(copy, next, &channel->waiting, link) {
		list_del(&copy->link);
		kfree(copy);
	}
}

static int add_engine(struct device *dev)
{
	int i;

	INIT_LIST_HEAD(&engine.channels);
	for (i = 0; i < CHANNELS; i++) {
		spin_lock_init(&channels[i].lock);
		INIT_LIST_HEAD(&channels[i].waiting);
		channels[i].chan.device = &engine;
		list_add_tail(&channels[i].chan.device_node, &engine.channels);
	}
	dma_cap_set(DMA_MEMCPY, engine.cap_mask);
	engine.dev = dev;
	engine.device_alloc_chan_resources = allocate;
	engine.device_free_chan_resources = release;
	engine.device_prep_dma_memcpy = prepare;
	engine.device_issue_pending = issue;
	engine.device_tx_status = status;
	return dma_async_device_register(&engine);
}

/* -- the module ------------------------------------------------------------------------------- */

static int __init engines_probe(struct platform_device *device)
{
	int error;

	error = dma_coerce_mask_and_coherent(&device->dev, DMA_BIT_MASK(64));
	if (error)
		return error;
	error = add_engine(&device->dev);
	if (error)
		return error;
	error = add_accelerator(&device->dev);
	if (error)
		dma_async_device_unregister(&engine);
	return error;
}

static void engines_remove(struct platform_device *device)
{
	uacce_remove(accelerator);
	dma_async_device_unregister(&engine);
}

static struct platform_driver engines_driver = {
	.driver.name = "engines",
	.remove = engines_remove,
};

static int __init engines_init(void)
{
	parent = platform_create_bundle(&engines_driver, engines_probe, NULL, 0, NULL, 0);
	return PTR_ERR_OR_ZERO(parent);
}
module_init(engines_init);

static void __exit engines_exit(void)
{
	platform_device_unregister(parent);
	platform_driver_unregister(&engines_driver);
}
module_exit(engines_exit);

MODULE_DESCRIPTION("uacce queues and DMA channels of software, for the tests of sdmtop");
MODULE_LICENSE("GPL");
